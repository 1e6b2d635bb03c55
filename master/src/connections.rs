//! The connections that others open to this master. There are never more than the open files allow,
//! those on which nothing happens make room for new ones, and a peer that has stopped taking or
//! sending is let go.

mod door;
mod first_word;
mod stream;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cluster_state::ShownCertificate;
use credentials::{Certificate, Encrypted, Refusals};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::either::Either;

pub(crate) use door::{Ask, Door, Full, Place};
pub(crate) use first_word::FirstWord;
pub(crate) use stream::GuestStream;

use crate::access::{Origin, Principal, Unnameable};
use crate::issuer::timestamp;
use crate::port::Closed;

/// A connection in its place, encrypted or not.
pub(crate) type Connection = Either<GuestStream, Box<Encrypted<GuestStream>>>;

/// A peer that acknowledges nothing of what was sent is gone after this time.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// A connection on which nothing is sent is probed after this time, and that often.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Sets up an accepted connection, so that a peer whose machine has vanished is noticed.
fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// Returns the origin of a connection after its handshake; none if nobody can be whom its
/// certificate names.
pub(crate) fn admitted(
    origin: Origin,
    caller: Option<Certificate>,
    place: &Place,
    refusals: &Refusals,
) -> Option<Origin> {
    match caller.map(principal_of).transpose() {
        Ok(shown) => Some(origin.secured(shown)),
        Err(error) => {
            on_stranger(&origin, place, refusals, &error.to_string());
            None
        }
    }
}

/// Returns whom a certificate names, and the certificate as revocations look at it.
fn principal_of(shown: Certificate) -> Result<(Principal, ShownCertificate), Unnameable> {
    let Certificate { identity, serial, not_before, .. } = shown;
    let holder = format!("{}/{}", identity.role(), identity.name());
    let principal = Principal::try_from(identity.clone())?;
    let holder = holder.parse().map_err(|_| Unnameable(identity))?;
    Ok((principal, ShownCertificate { holder, serial, not_before: timestamp(not_before) }))
}

/// Returns a certificate as revocations look at it; none if it names nobody whom a cluster can have.
pub(crate) fn shown(certificate: &Certificate) -> Option<ShownCertificate> {
    principal_of(certificate.clone()).ok().map(|(_, shown)| shown)
}

/// Counts a connection that was not admitted, and logs it: one side may be waiting for somebody who
/// reads it.
pub(crate) fn on_stranger(origin: &Origin, place: &Place, refusals: &Refusals, reason: &str) {
    place.on_closed(Closed::Handshake);
    let ip = origin.remote.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.ip());
    if let Some(not_logged) = refusals.on_refused(ip, Instant::now()) {
        let remote = origin.remote.map(|remote| remote.to_string()).unwrap_or_default();
        tracing::info!(remote, reason, not_logged, "a connection was not admitted");
    }
}

/// Counts a handshake that failed, and logs why. A connection that just broke is nobody's fault.
pub(crate) fn on_failed_handshake(
    origin: &Origin,
    place: &Place,
    refusals: &Refusals,
    error: &io::Error,
) {
    if error.kind() == io::ErrorKind::TimedOut {
        return on_stranger(origin, place, refusals, "its handshake took too long");
    }
    match credentials::sentence(error) {
        Some(reason) => on_stranger(origin, place, refusals, &reason),
        None => {
            place.on_closed(Closed::Handshake);
            tracing::debug!(%error, "a handshake broke off");
        }
    }
}
