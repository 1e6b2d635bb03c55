//! A connection whose peer has to take what it is sent, and to say something at first.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::door::{Ask, Place};
use crate::port::Closed;

/// A peer that takes nothing of what waits for it is let go after this time.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A connection in its place.
#[derive(Debug)]
pub(crate) struct GuestStream {
    tcp: TcpStream,
    place: Arc<Place>,
    /// Until its peer has said something.
    silence: Option<Box<Silence>>,
    /// While its peer takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// True from the first byte of a request until its answer is sent.
    has_begun: bool,
}

/// Time that a connection may stay silent.
#[derive(Debug)]
struct Silence {
    over: Pin<Box<Sleep>>,
    shown_out: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl GuestStream {
    /// A connection of which something else watches how long it is silent. Fails when the system
    /// does not take its settings, as when it is closed already.
    pub(crate) fn new(tcp: TcpStream, place: Arc<Place>) -> io::Result<Self> {
        super::set_up(&tcp)?;
        Ok(Self { tcp, place, silence: None, stall: None, has_begun: false })
    }

    /// A connection that has to say something within that time, and while it is not shown out.
    /// From its first word on it is busy until it ends.
    pub(crate) fn expecting_a_word(
        tcp: TcpStream,
        place: Arc<Place>,
        patience: Duration,
    ) -> io::Result<Self> {
        let silence = Silence {
            over: Box::pin(tokio::time::sleep(patience)),
            shown_out: Box::pin(place.shown_out().clone().cancelled_owned()),
        };
        let mut stream = Self::new(tcp, place)?;
        stream.silence = Some(Box::new(silence));
        Ok(stream)
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(silence) = self.silence.as_mut() else { return Poll::Pending };
        if silence.shown_out.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Error::other("there is no room for a silent connection"));
        }
        ready!(silence.over.as_mut().poll(cx));
        self.silence = None;
        self.place.on_closed(Closed::Silent);
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer never said anything"))
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
        if self.silence.is_none() {
            self.has_begun |= into.filled().len() > before && self.place.is_idle();
            return read;
        }
        if into.filled().len() > before {
            self.silence = None;
            // There are as many places as there may be requests, so this one is never too many.
            self.place.on_request(Ask::Ordinary).ok();
            return read;
        }
        if read.is_ready() {
            return read;
        }
        self.poll_silence(cx).map(Err)
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
