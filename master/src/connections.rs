//! The connections that others open to this master. There are never more than the open files allow,
//! those on which nothing happens make room for new ones, and a peer that has stopped taking or
//! sending is let go.

mod door;
mod first_word;
mod stream;

use std::io;
use std::time::Duration;

use credentials::{Encrypted, Identity};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::either::Either;

pub(crate) use door::{Ask, Door, Full, Place};
pub(crate) use first_word::FirstWord;
pub(crate) use stream::GuestStream;

use crate::access::{Origin, Principal};

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
pub(crate) fn admitted(origin: Origin, caller: Option<Identity>) -> Option<Origin> {
    match caller.map(Principal::try_from).transpose() {
        Ok(identity) => Some(origin.secured(identity)),
        Err(error) => {
            log_stranger(&origin, &error.to_string());
            None
        }
    }
}

/// Logs that a connection was not admitted: one side may be waiting for somebody who reads it.
pub(crate) fn log_stranger(origin: &Origin, reason: &str) {
    let remote = origin.remote.map(|remote| remote.to_string()).unwrap_or_default();
    tracing::info!(remote, reason, "a connection was not admitted");
}

/// Logs why a handshake failed. A connection that just broke is nobody's fault.
pub(crate) fn log_failed_handshake(origin: &Origin, error: &io::Error) {
    if error.kind() == io::ErrorKind::TimedOut {
        return log_stranger(origin, "its handshake took too long");
    }
    match credentials::sentence(error) {
        Some(reason) => log_stranger(origin, &reason),
        None => tracing::debug!(%error, "a handshake broke off"),
    }
}
