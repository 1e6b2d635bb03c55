//! A connection whose peer has to take what it is sent.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::door::Place;
use crate::port::Closed;

/// A peer that takes nothing of what waits for it is let go after this time.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A connection in its place.
#[derive(Debug)]
pub(crate) struct GuestStream {
    tcp: TcpStream,
    place: Arc<Place>,
    /// While its peer takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// True from the first byte of a request until its answer is sent.
    has_begun: bool,
}

impl GuestStream {
    /// A connection in its place. Fails when the system
    /// does not take its settings, as when it is closed already.
    pub(crate) fn new(tcp: TcpStream, place: Arc<Place>) -> io::Result<Self> {
        super::set_up(&tcp)?;
        Ok(Self { tcp, place, stall: None, has_begun: false })
    }

    /// Returns the result of a write, unless the peer has accepted nothing for too long.
    fn patiently(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let over = || Box::pin(tokio::time::sleep_until(Instant::now() + STALL_MAX));
        ready!(self.stall.get_or_insert_with(over).as_mut().poll(cx));
        self.place.on_closed(Closed::Stalled);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, into);
        self.has_begun |= into.filled().len() > before && self.place.is_idle();
        read
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.patiently(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bytes);
        self.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.tcp).poll_flush(cx));
        if self.place.on_sent() {
            self.has_begun = false;
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for GuestStream {
    fn drop(&mut self) {
        let words = self.place.last_words().filter(|_| self.has_begun);
        if let Some(words) = words {
            // As much as fits into the system's buffer, which is empty.
            self.tcp.try_write(words).ok();
        }
    }
}
