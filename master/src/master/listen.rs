//! The listeners: bound before anything is written, open when the master can answer.

use std::io;
use std::net::SocketAddr;

use proto::address;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Config;

/// Connections that wait to be accepted: thousands of workers dial a new leader in the same moment,
/// and one that is turned away comes back a second later. The kernel takes its own limit
/// (`net.core.somaxconn`) where that is lower.
const BACKLOG: u32 = 65_535;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {reason}")]
pub struct BindError {
    /// The key that names the address.
    key: &'static str,
    /// As configured.
    address: String,
    /// Explanation by the system, for the operator.
    reason: String,
}

impl BindError {
    fn new(key: &'static str, address: &str, error: &io::Error) -> Self {
        Self { key, address: address.to_owned(), reason: reason_of(error) }
    }
}

fn reason_of(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::AddrInUse, "it is in use by another process"),
        (io::ErrorKind::AddrNotAvailable, "it is no address of this machine"),
        (io::ErrorKind::PermissionDenied, "this user may not"),
    ];
    let found = known.into_iter().find(|(kind, _)| *kind == error.kind());
    found.map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}

/// An address that is taken and not listened on yet. Whoever dials a master that is still starting is
/// refused at once and goes to another, instead of waiting for an answer.
#[derive(Debug)]
pub(super) struct Bound {
    key: &'static str,
    socket: TcpSocket,
    address: SocketAddr,
}

pub(super) async fn bind(key: &'static str, address: &str) -> Result<Bound, BindError> {
    let bind = async {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for candidate in tokio::net::lookup_host(address).await? {
            match bind_to(candidate) {
                Ok(socket) => return Ok((socket.local_addr()?, socket)),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let (bound, socket) = bind.await.map_err(|error| BindError::new(key, address, &error))?;
    Ok(Bound { key, socket, address: bound })
}

fn bind_to(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Bound {
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to take connections.
    pub(super) fn listen(self) -> Result<TcpListener, BindError> {
        let Self { key, socket, address } = self;
        socket.listen(BACKLOG).map_err(|error| BindError::new(key, &address.to_string(), &error))
    }
}

/// Says once that anybody on the network may command this master.
pub(super) fn warn_if_exposed(config: &Config, listeners: &[SocketAddr]) {
    if config.tls.files().is_some() {
        return;
    }
    for address in listeners.iter().filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(%address, "open to the network without encryption or authentication");
    }
}

/// Returns the address under which others reach a listener: one on all interfaces under the host
/// that gRPC advertises.
pub(super) fn reachable(listener: SocketAddr, grpc_advertise: &str) -> String {
    let host = grpc_advertise.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
    address::reachable_at(&listener.to_string(), host)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = bind("grpc_listen", "127.0.0.1:0").await.unwrap();
        let address = taken.address().to_string();
        let _listener = taken.listen().unwrap();
        let error = bind("http_listen", &address).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("http_listen: cannot listen on {address}: it is in use by another process")
        );
    }

    #[tokio::test]
    async fn nobody_is_let_in_before_it_listens() {
        let bound = bind("http_listen", "127.0.0.1:0").await.unwrap();
        let address = bound.address();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        let _listener = bound.listen().unwrap();
        TcpStream::connect(address).await.unwrap();
    }

    #[test]
    fn a_listener_on_all_interfaces_is_reached_where_grpc_is() {
        let reached = |listener: &str| reachable(listener.parse().unwrap(), "node1:50051");
        assert_eq!(reached("0.0.0.0:8080"), "node1:8080");
        assert_eq!(reached("127.0.0.1:8080"), "127.0.0.1:8080");
    }
}
