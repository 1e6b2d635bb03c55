//! A connection whose peer has to say something at first, and makes room until then.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::door::{Ask, Place};
use crate::port::Closed;

/// A connection that has to say something within some time, and while it is not shown out. From its
/// first word on it is busy until it ends. What a handshake says is no word: anybody can say it.
#[derive(Debug)]
pub(crate) struct FirstWord<S> {
    stream: S,
    place: Arc<Place>,
    /// Until its peer has said something.
    silence: Option<Box<Silence>>,
}

/// Time that a connection may stay silent.
#[derive(Debug)]
struct Silence {
    over: Pin<Box<Sleep>>,
    shown_out: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> FirstWord<S> {
    pub(crate) fn new(stream: S, place: Arc<Place>, patience: Duration) -> Self {
        let silence = Silence {
            over: Box::pin(tokio::time::sleep(patience)),
            shown_out: Box::pin(place.shown_out().clone().cancelled_owned()),
        };
        Self { stream, place, silence: Some(Box::new(silence)) }
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
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstWord<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if self.silence.is_none() {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstWord<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
