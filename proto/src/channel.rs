//! Opens connections between processes: quick to notice a dead peer, and quick to reconnect.

mod dial;
mod resolver;
mod small_reads;

use std::error::Error;
use std::io;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use credentials::{Connector, Credentials, Expected, Protocol, Secured};
use http::Uri;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint};

use self::dial::{Peer, dial};
use self::small_reads::SmallReads;
use crate::output::Flow;

/// Limit of a connection attempt: a peer on the same network answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval at which a silent connection is probed while a call waits for an answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which an unanswered probe closes the connection.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which unacknowledged data closes the connection: TCP waits longer with each
/// retransmission, so a link that works again would stay unused for seconds.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(2);
/// Flow-control windows that never throttle in a data center.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Maximum number of long streams of a connection. Data that a reader has not taken waits here, up
/// to the stream's window; the connection's window holds that of all its streams, so that slow
/// readers do not block the others.
const LONG_STREAMS_MAX: u32 = 1_024;

/// Maximum length of a host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// The text is not an address of the form `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address: expected host:port")]
pub struct InvalidAddress(pub String);

/// Tells if a channel was ever connected. Until then nothing that was sent on it has left.
#[derive(Debug, Clone, Default)]
pub struct EverConnected(Arc<AtomicBool>);

impl EverConnected {
    /// Returns true if the channel was connected before now.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Opens connections from this process: with its certificates, or in clear text.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    protection: Protection,
}

/// Protection of connections.
#[derive(Debug, Clone, Default)]
enum Protection {
    /// None.
    #[default]
    Plain,
    /// Encryption, towards whoever answers.
    Unverified,
    /// Encryption, and certificates on both sides.
    Verified(Credentials),
}

impl Dialer {
    /// Opens connections in clear text.
    #[must_use]
    pub const fn plain() -> Self {
        Self { protection: Protection::Plain }
    }

    /// Opens encrypted connections.
    #[must_use]
    pub const fn secured(credentials: Credentials) -> Self {
        Self { protection: Protection::Verified(credentials) }
    }

    /// Opens encrypted connections to whoever answers: for asking what a cluster trusts, and for
    /// nothing else.
    #[must_use]
    pub const fn unverified() -> Self {
        Self { protection: Protection::Unverified }
    }

    /// Returns the SHA-256 of the root that vouches for the own certificate.
    #[must_use]
    pub fn certificate_root(&self) -> Option<[u8; 32]> {
        match &self.protection {
            Protection::Plain | Protection::Unverified => None,
            Protection::Verified(held) => held.root(),
        }
    }

    /// Returns the time at which the own certificate, or one that vouches for it, ends.
    #[must_use]
    pub fn certificate_not_after(&self) -> Option<SystemTime> {
        match &self.protection {
            Protection::Plain | Protection::Unverified => None,
            Protection::Verified(held) => held.not_after(),
        }
    }

    /// Creates a connection to the master at `address` (`host:port`) that is opened when first used,
    /// and again whenever it breaks.
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed. An unreachable peer shows in the calls.
    pub fn connect_lazily(&self, address: &str) -> Result<Channel, InvalidAddress> {
        let endpoint = self.endpoint(address, Peer::OfFew)?.keep_alive_while_idle(true);
        let route = self.route(Peer::OfFew, Expected::Master);
        Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| route.open(uri))))
    }

    /// Like [`Self::connect_lazily`], and tells whether the channel was ever connected.
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed.
    pub fn connect_lazily_and_tell(
        &self,
        address: &str,
    ) -> Result<(Channel, EverConnected), InvalidAddress> {
        let endpoint = self.endpoint(address, Peer::OfFew)?.keep_alive_while_idle(true);
        let route = self.route(Peer::OfFew, Expected::Master);
        let ever_connected = EverConnected::default();
        let told = ever_connected.clone();
        let connector = tower::service_fn(move |uri| {
            let (told, opened) = (told.clone(), route.open(uri));
            async move {
                let stream = opened.await?;
                told.0.store(true, Ordering::Release);
                Ok::<_, io::Error>(stream)
            }
        });
        Ok((endpoint.connect_with_connector_lazy(connector), ever_connected))
    }

    /// Like [`Self::connect_lazily`], but an idle connection is not probed: for connections of
    /// thousands of peers that send heartbeats themselves.
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed.
    pub fn connect_lazily_unprobed(
        &self,
        address: &str,
        expected: Expected,
    ) -> Result<Channel, InvalidAddress> {
        let endpoint = self.endpoint(address, Peer::OfMany)?;
        let route = self.route(Peer::OfMany, expected);
        Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| route.open(uri))))
    }

    /// Like [`Self::connect_lazily_unprobed`], for long streams of output.
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed.
    pub fn connect_for_long_streams(
        &self,
        address: &str,
        expected: Expected,
        flow: Flow,
    ) -> Result<Channel, InvalidAddress> {
        let endpoint = self
            .endpoint(address, Peer::OfMany)?
            .initial_stream_window_size(flow.window_bytes())
            .initial_connection_window_size(flow.window_bytes() * LONG_STREAMS_MAX);
        let route = self.route(Peer::OfMany, expected);
        if flow == Flow::Wide {
            let connector = tower::service_fn(move |uri| route.open(uri));
            return Ok(endpoint.connect_with_connector_lazy(connector));
        }
        let connector = tower::service_fn(move |uri| {
            let opened = route.open(uri);
            async move {
                let stream = opened.await?;
                Ok::<_, io::Error>(TokioIo::new(SmallReads::new(stream.into_inner())))
            }
        });
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    /// Opens a connection to `address` (`host:port`). It is opened again when it breaks, and not
    /// probed while it is idle.
    ///
    /// # Errors
    ///
    /// When no peer has accepted it within `timeout`.
    pub async fn connect(
        &self,
        address: &str,
        expected: Expected,
        timeout: Duration,
    ) -> Result<Channel, ConnectError> {
        let endpoint = self.endpoint(address, Peer::OfMany)?.connect_timeout(timeout);
        let route = self.route(Peer::OfMany, expected);
        let dialed = endpoint.connect_with_connector(tower::service_fn(move |uri| route.open(uri)));
        match tokio::time::timeout(timeout, dialed).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(ConnectError::TimedOut(timeout)),
        }
    }

    fn route(&self, peer: Peer, expected: Expected) -> Route {
        let connector = match &self.protection {
            Protection::Plain => None,
            Protection::Unverified => Some(Connector::unverified(Protocol::Grpc)),
            Protection::Verified(held) => {
                Some(Connector::new(held.clone(), expected, Protocol::Grpc))
            }
        };
        Route { peer, connector }
    }

    fn endpoint(&self, address: &str, peer: Peer) -> Result<Endpoint, InvalidAddress> {
        check_address(address)?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| InvalidAddress(address.to_owned()))?
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let handshake = match self.protection {
            Protection::Plain => Duration::ZERO,
            Protection::Unverified | Protection::Verified(_) => peer.handshake_max(),
        };
        Ok(endpoint.connect_timeout(CONNECT_TIMEOUT.saturating_add(handshake)))
    }
}

/// Way to a peer.
#[derive(Debug, Clone)]
struct Route {
    peer: Peer,
    connector: Option<Connector>,
}

type Stream = TokioIo<Either<TcpStream, Box<Secured<TcpStream>>>>;

impl Route {
    fn open(&self, uri: Uri) -> impl Future<Output = io::Result<Stream>> + Send + 'static + use<> {
        let Self { peer, connector } = self.clone();
        async move {
            let dialed = tokio::time::timeout(CONNECT_TIMEOUT, dial(peer, &uri));
            let stream = dialed.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
            let Some(connector) = connector else { return Ok(TokioIo::new(Either::Left(stream))) };
            let secured = connector.connect(uri.host().unwrap_or_default(), stream).await?;
            Ok(TokioIo::new(Either::Right(Box::new(secured))))
        }
    }
}

/// Reason that there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be parsed.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The connection was refused or failed.
    #[error("cannot connect")]
    Failed(#[from] tonic::transport::Error),
    /// The connection was neither accepted nor refused in time.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

impl ConnectError {
    /// Returns true if the other machine answered that nobody listens.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        let causes = std::iter::successors(error.source(), |error| (*error).source());
        let mut kinds = causes.filter_map(|error| error.downcast_ref::<io::Error>());
        kinds.any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// Checks that a text is `host:port`: a name or an address, with an IPv6 address in brackets, and
/// nothing that would have another meaning in a URI.
///
/// # Errors
///
/// When it is not.
pub fn check_address(address: &str) -> Result<(), InvalidAddress> {
    let invalid = || InvalidAddress(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => (1..=HOST_BYTES_MAX).contains(&host.len()) && host.chars().all(is_word),
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port != 0) && !port.starts_with('+');
    if is_host && is_port { Ok(()) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for address in ["127.0.0.1:50051", "node-1.example.com:1", "[::1]:50051"] {
            assert_eq!(check_address(address), Ok(()), "{address}");
        }
        for address in [
            "",
            "node",
            "node:",
            ":1",
            "node:0",
            "node:+1",
            "node:70000",
            "a/b:1",
            "http://a:1",
            "a?b:1",
            "a@b:1",
            "a b:1",
            "::1:1",
            "[::::1]:1",
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_told_from_what_shows_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let closed =
            Dialer::plain().connect(&address, Expected::Master, CONNECT_TIMEOUT).await.unwrap_err();
        assert!(closed.is_refusal(), "{closed:?}");

        let unknown = Dialer::plain()
            .connect("nowhere.invalid:1", Expected::Master, CONNECT_TIMEOUT)
            .await
            .unwrap_err();
        assert!(!unknown.is_refusal(), "{unknown:?}");
        assert!(!ConnectError::TimedOut(CONNECT_TIMEOUT).is_refusal());
    }
}
