//! The listeners, bound before anything is written.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpListener;

/// Connections that wait to be accepted: thousands of workers dial a new leader in the same moment,
/// and one that is turned away comes back a second later. The kernel takes its own limit
/// (`net.core.somaxconn`) where that is lower.
const BACKLOG: i32 = 65_535;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {reason}")]
pub struct BindError {
    /// The key that names the address.
    key: &'static str,
    /// As configured.
    address: String,
    /// What the system said, in the words of whoever has to do something about it.
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

pub(super) async fn bind(key: &'static str, address: &str) -> Result<TcpListener, BindError> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        // A second call only changes the length of the queue.
        SockRef::from(&listener).listen(BACKLOG)?;
        Ok(listener)
    };
    listen.await.map_err(|error| BindError::new(key, address, &error))
}

pub(super) fn address_of(
    listener: &TcpListener,
    key: &'static str,
) -> Result<SocketAddr, BindError> {
    listener.local_addr().map_err(|error| BindError::new(key, "its address", &error))
}

/// Says once that anybody on the network may command this master.
pub(super) fn warn_if_exposed(listeners: &[SocketAddr]) {
    for address in listeners.iter().filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(%address, "open to the network without encryption or authentication");
    }
}

/// Where others reach a listener: one on all interfaces under the host that gRPC is advertised at.
pub(super) fn reachable(listener: SocketAddr, grpc_advertise: &str) -> String {
    if !listener.ip().is_unspecified() {
        return listener.to_string();
    }
    let advertised = grpc_advertise.rsplit_once(':').map(|(host, _)| host);
    let loopback: IpAddr = std::net::Ipv4Addr::LOCALHOST.into();
    let host = advertised.map_or_else(|| loopback.to_string(), str::to_owned);
    format!("{host}:{}", listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = bind("grpc_listen", "127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = bind("http_listen", &address).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("http_listen: cannot listen on {address}: it is in use by another process")
        );
    }

    #[test]
    fn a_listener_on_all_interfaces_is_reached_where_grpc_is() {
        let reached = |listener: &str| reachable(listener.parse().unwrap(), "node1:50051");
        assert_eq!(reached("0.0.0.0:8080"), "node1:8080");
        assert_eq!(reached("127.0.0.1:8080"), "127.0.0.1:8080");
    }
}
