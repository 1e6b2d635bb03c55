//! Secures connections to servers.

use std::io;
use std::net::IpAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::held::Credentials;
use crate::parties::{Expected, Protocol};

/// An encrypted connection, as the client sees it.
pub type Secured<S> = TlsStream<S>;

/// Secures connections with the certificates of their moment.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Certificates, and the server that is expected; none to believe anybody.
    belief: Option<(Credentials, Expected)>,
    protocol: Protocol,
}

impl Connector {
    /// Creates what secures connections to such servers, which speak such a protocol inside.
    #[must_use]
    pub const fn new(credentials: Credentials, expected: Expected, protocol: Protocol) -> Self {
        Self { belief: Some((credentials, expected)), protocol }
    }

    /// Creates what encrypts connections to whoever answers. Nothing that is heard there may be
    /// believed, and nothing secret may be said.
    #[must_use]
    pub const fn unverified(protocol: Protocol) -> Self {
        Self { belief: None, protocol }
    }

    /// Performs the handshake of a new connection to `host`, which servers that share an address
    /// may look at.
    ///
    /// # Errors
    ///
    /// When the server is not the one who is expected, or refuses. A server that refuses the
    /// client's certificate says so in the first call only.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = match bare.parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?,
        };
        let config = match &self.belief {
            Some((credentials, expected)) => credentials.client_config(expected, self.protocol),
            None => crate::unverified::client_config(self.protocol),
        };
        let config = config.map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}
