//! The other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::Principal;

/// Other end of a connection, which every request on it carries among its extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Address of the peer, or of a proxy before it; unknown if it is gone already.
    pub(crate) remote: Option<SocketAddr>,
    /// Address of this master that was called.
    pub(crate) local: Option<SocketAddr>,
    /// Principal that the peer's certificate names; none without one.
    pub(crate) identity: Option<Arc<Principal>>,
    /// True if the connection is encrypted.
    pub(crate) is_secured: bool,
}

impl Origin {
    /// The other end of a connection in clear text.
    pub(crate) fn of(stream: &TcpStream) -> Self {
        let (remote, local) = (stream.peer_addr().ok(), stream.local_addr().ok());
        Self { remote, local, identity: None, is_secured: false }
    }

    /// The same, encrypted.
    pub(crate) fn secured(self, identity: Option<Principal>) -> Self {
        Self { identity: identity.map(Arc::new), is_secured: true, ..self }
    }
}
