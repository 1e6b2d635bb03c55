//! Reads from a socket in small pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

use crate::output::FRAME_BYTES;

/// Maximum bytes of one read: one frame with a chunk of output.
const READ_BYTES_MAX: u64 = FRAME_BYTES as u64;

/// A connection that is read in small pieces. HTTP/2 hands out frames as parts of the buffer that
/// they were read into, and after a large read a frame that waits for a slow reader keeps a large
/// buffer in memory.
#[derive(Debug)]
pub(super) struct SmallReads<S>(Take<S>);

impl<S: AsyncRead> SmallReads<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(stream.take(READ_BYTES_MAX))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SmallReads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.set_limit(READ_BYTES_MAX);
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for SmallReads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.get_ref().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn everything_is_read_a_little_at_a_time() {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let sent = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect::<Vec<_>>();
        far.write_all(&sent).await.unwrap();
        drop(far);

        let mut near = SmallReads::new(near);
        let (mut read, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let count = near.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            assert!(count as u64 <= READ_BYTES_MAX);
            read.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(read, sent);
    }
}
