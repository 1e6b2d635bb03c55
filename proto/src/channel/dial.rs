//! Opens connections to the address of a host that answers first.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Uri;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::resolver::Resolver;

/// Time without an answer after which the next address of a host is tried in parallel: a connection
/// on one network takes far less, and three addresses fit into the time for one connection.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(120);
/// Maximum number of addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// Kind of peer. Names of workers are looked up apart from those of masters, so that any number of
/// unknown workers delays no connection to a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// One of few peers, such as a master.
    OfFew,
    /// One of thousands of peers, such as a worker.
    OfMany,
}

impl Peer {
    /// Limit of a handshake. Those of a whole fleet come at once to a new leader, which answers
    /// some thousands a second; a client that gave up would only begin again.
    pub(super) const fn handshake_max(self) -> Duration {
        match self {
            Self::OfFew => Duration::from_secs(2),
            Self::OfMany => Duration::from_secs(10),
        }
    }

    fn resolver(self) -> &'static Arc<Resolver> {
        static OF_FEW: OnceLock<Arc<Resolver>> = OnceLock::new();
        static OF_MANY: OnceLock<Arc<Resolver>> = OnceLock::new();
        match self {
            Self::OfFew => OF_FEW.get_or_init(Resolver::of_system),
            Self::OfMany => OF_MANY.get_or_init(Resolver::of_system),
        }
    }
}

/// Connects to the authority of `uri`.
pub(super) async fn dial(peer: Peer, uri: &Uri) -> io::Result<TcpStream> {
    let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
    let port = authority.port_u16().ok_or(io::ErrorKind::InvalidInput)?;
    let hosts = peer.resolver().resolve(authority.host()).await?;
    let addresses = in_turn(&hosts).map(|host| SocketAddr::new(host, port));
    first_to_answer(addresses.collect()).await
}

/// Alternates between the address families, as the system prefers them: a network that drops one
/// family's packets costs one step.
fn in_turn(hosts: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let first_is_v6 = hosts.first().is_some_and(IpAddr::is_ipv6);
    let (first, second) = hosts.iter().partition::<Vec<_>, _>(|host| host.is_ipv6() == first_is_v6);
    let longer = first.len().max(second.len());
    let turns = (0..longer).flat_map(move |turn| {
        [first.get(turn).copied(), second.get(turn).copied()].into_iter().flatten()
    });
    turns.take(ADDRESSES_MAX).collect::<Vec<_>>().into_iter()
}

/// Tries the addresses in order, each a moment after the one before or once that has failed.
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match addresses.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }

        let is_last = addresses.len() == 0;
        let mut pause = pin!(sleep(NEXT_ADDRESS_AFTER));
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => {}
            },
            () = &mut pause, if !is_last => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn hosts(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let given = hosts(&["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"]);
        let expected = hosts(&["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]);
        assert_eq!(in_turn(&given).collect::<Vec<_>>(), expected);
        assert_eq!(in_turn(&hosts(&["10.0.0.1"])).collect::<Vec<_>>(), hosts(&["10.0.0.1"]));
        assert_eq!(in_turn(&[]).count(), 0);
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = listener.local_addr().unwrap();
        let stream = first_to_answer(vec![closed, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);

        let error = first_to_answer(vec![closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        // Reserved for documentation (RFC 5737): no peer answers there.
        let silent = "192.0.2.1:9".parse().unwrap();
        let stream = first_to_answer(vec![silent, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
    }
}
