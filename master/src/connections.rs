//! The connections that others open to this master. There are never more than the open files allow,
//! those on which nothing happens make room for new ones, and a peer that has stopped taking or
//! sending is let go.

mod door;
mod stream;

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

pub(crate) use door::{Ask, Door, Full, Place};
pub(crate) use stream::GuestStream;

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
