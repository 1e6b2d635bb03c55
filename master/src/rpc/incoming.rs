//! Connections to the gRPC port: bounded, encrypted where there are certificates, and closed when
//! they never begin to speak.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use credentials::{Acceptor, NotAccepted};
use futures_util::Stream;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use crate::access::Origin;
use crate::connections::{
    Connection, Door, FirstWord, GuestStream, Place, admitted, on_failed_handshake, on_stranger,
};

/// After a failed accept, as when file descriptors have run out, it is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A port on which connections come in.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) listener: TcpListener,
    pub(super) door: Arc<Door>,
    /// Time within which a connection must have sent something.
    pub(super) patience: Duration,
    /// Admits connections, where there are certificates.
    pub(super) acceptor: Option<Acceptor>,
}

/// Accepts connections. Handshakes run beside each other and delay nobody else.
pub(super) fn incoming(entrance: Entrance) -> impl Stream<Item = io::Result<GrpcStream>> {
    let handshakes = JoinSet::new();
    stream::unfold((entrance, handshakes), async |(entrance, mut handshakes)| {
        let stream = entrance.next(&mut handshakes).await;
        Some((Ok(stream), (entrance, handshakes)))
    })
}

impl Entrance {
    async fn next(&self, handshakes: &mut JoinSet<Option<GrpcStream>>) -> GrpcStream {
        loop {
            tokio::select! {
                accepted = self.accept() => match (accepted, self.acceptor.clone()) {
                    (Ok(Some(guest)), None) => return guest.in_clear_text(),
                    (Ok(Some(guest)), Some(acceptor)) => drop(handshakes.spawn(guest.secured(acceptor))),
                    // Whoever made room for another gets the chance to go.
                    (Ok(None), _) => tokio::task::yield_now().await,
                    (Err(error), _) => {
                        tracing::debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(secured) = handshakes.join_next() => {
                    if let Ok(Some(stream)) = secured {
                        return stream;
                    }
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Option<Guest>> {
        let (tcp, _) = self.listener.accept().await?;
        let Some(place) = self.door.enter() else { return Ok(None) };
        let origin = Origin::of(&tcp);
        // One that is closed already cannot be set up, and is no reason to pause.
        let stream = GuestStream::new(tcp, Arc::clone(&place)).ok();
        let patience = self.patience;
        Ok(stream.map(|stream| Guest { stream, place, origin, patience }))
    }
}

/// A connection that has come in.
struct Guest {
    stream: GuestStream,
    place: Arc<Place>,
    origin: Origin,
    patience: Duration,
}

impl Guest {
    fn in_clear_text(self) -> GrpcStream {
        let Self { stream, place, origin, patience } = self;
        let stream: Connection = Either::Left(stream);
        GrpcStream { stream: FirstWord::new(stream, place, patience), origin }
    }

    /// Performs the handshake while there is room for it, and says why it failed.
    async fn secured(self, acceptor: Acceptor) -> Option<GrpcStream> {
        let Self { stream, place, origin, patience } = self;
        let accepted = tokio::select! {
            accepted = acceptor.accept(stream) => accepted,
            () = place.shown_out().cancelled() => return None,
        };
        match accepted {
            Ok(accepted) => {
                let origin = admitted(origin, accepted.caller, &place, acceptor.refusals())?;
                if origin.identity.is_none() {
                    place.on_stranger(origin.site()).ok()?;
                }
                let stream: Connection = Either::Right(Box::new(accepted.stream));
                Some(GrpcStream { stream: FirstWord::new(stream, place, patience), origin })
            }
            Err(NotAccepted::Plain(_)) => {
                on_stranger(&origin, &place, acceptor.refusals(), "it does not speak TLS");
                None
            }
            Err(NotAccepted::Failed(error)) => {
                on_failed_handshake(&origin, &place, acceptor.refusals(), &error);
                None
            }
        }
    }
}

/// A connection as tonic wants it.
#[derive(Debug)]
pub(super) struct GrpcStream {
    stream: FirstWord<Connection>,
    origin: Origin,
}

impl Connected for GrpcStream {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        self.origin.clone()
    }
}

impl AsyncRead for GrpcStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for GrpcStream {
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
        bytes: &[io::IoSlice<'_>],
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

    fn entrance(listener: TcpListener, door: Arc<Door>, patience: Duration) -> Entrance {
        Entrance { listener, door, patience, acceptor: None }
    }

    #[tokio::test]
    async fn a_connection_that_never_speaks_is_closed() {
        let (listener, door) = listening(8).await;
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(entrance(listener, door, Duration::from_millis(100))));
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
        let mut incoming = Box::pin(incoming(entrance(listener, door, Duration::from_secs(60))));
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
