//! Connections to the gRPC port: bounded, and closed when they never begin to speak.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::connections::{Door, GuestStream};

/// After a failed accept, as when file descriptors have run out, it is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections. Each must send something within `patience`.
pub(super) fn incoming(
    listener: TcpListener,
    door: Arc<Door>,
    patience: Duration,
) -> impl Stream<Item = io::Result<GrpcStream>> {
    stream::unfold((listener, door), move |(listener, door)| async move {
        loop {
            match accept(&listener, &door, patience).await {
                Ok(Some(stream)) => return Some((Ok(stream), (listener, door))),
                // Whoever made room for another gets the chance to go.
                Ok(None) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

async fn accept(
    listener: &TcpListener,
    door: &Arc<Door>,
    patience: Duration,
) -> io::Result<Option<GrpcStream>> {
    let (tcp, _) = listener.accept().await?;
    let Some(place) = door.enter() else { return Ok(None) };
    // One that is closed already cannot be set up, and is no reason to pause.
    let stream = GuestStream::expecting_a_word(tcp, place, patience).ok();
    Ok(stream.map(GrpcStream))
}

/// A connection as tonic wants it.
#[derive(Debug)]
pub(super) struct GrpcStream(GuestStream);

impl Connected for GrpcStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.0.tcp().connect_info()
    }
}

impl AsyncRead for GrpcStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for GrpcStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::LimitsConfig;
    use crate::metrics::Metrics;
    use crate::open_files::OpenFiles;
    use crate::port::Port;

    /// Reads a connection to its end and returns what the peer has sent.
    async fn said(stream: Option<io::Result<GrpcStream>>) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        stream.unwrap().unwrap().read_to_end(&mut said).await.map(|_| said)
    }

    async fn listening(grpc_connections: usize) -> (TcpListener, Arc<Door>) {
        let limits = LimitsConfig { grpc_connections, ..LimitsConfig::default() };
        let files = OpenFiles::with_limit(&limits, || 1 << 40);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener, Door::new(Port::Grpc, files, Metrics::new()))
    }

    #[tokio::test]
    async fn a_connection_that_never_speaks_is_closed() {
        let (listener, door) = listening(8).await;
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(listener, door, Duration::from_millis(100)));
        let mut speaking = TcpStream::connect(address).await.unwrap();
        speaking.write_all(b"hello").await.unwrap();
        let spoken = incoming.next().await;
        let silent = TcpStream::connect(address).await.unwrap();
        let error = said(incoming.next().await).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        drop((speaking, silent));
        assert_eq!(said(spoken).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn silent_connections_make_room_and_speaking_ones_do_not() {
        let (listener, door) = listening(2).await;
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(listener, door, Duration::from_secs(60)));
        let mut speaking = TcpStream::connect(address).await.unwrap();
        speaking.write_all(b"a").await.unwrap();
        let mut first = incoming.next().await.unwrap().unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'a');

        let _silent = TcpStream::connect(address).await.unwrap();
        let second = incoming.next().await;
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(b"b").await.unwrap();
        let mut third = incoming.next().await.unwrap().unwrap();
        assert!(said(second).await.is_err(), "a silent connection has to make room");
        assert_eq!(third.read_u8().await.unwrap(), b'b');

        // Now both speak: another one is closed.
        let mut turned_away = TcpStream::connect(address).await.unwrap();
        let closed = tokio::select! {
            _ = incoming.next() => panic!("there was no room"),
            closed = turned_away.read_u8() => closed,
        };
        assert!(closed.is_err());
    }
}
