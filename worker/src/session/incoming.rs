//! Connections of masters to the worker, encrypted where there are certificates.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use credentials::{Acceptor, Encrypted, NotAccepted};
use futures_util::Stream;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::either::Either;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

/// After a failed accept, as when file descriptors have run out, it is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Handshakes at once. More callers wait in the system's queue: only masters have reason to call.
const HANDSHAKES_MAX: usize = 512;

/// A connection of a caller.
#[derive(Debug)]
pub(super) struct Connection(Either<TcpStream, Encrypted<TcpStream>>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
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

/// Accepts connections. Handshakes run beside each other and delay nobody else.
pub(super) fn incoming(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
) -> impl Stream<Item = io::Result<Connection>> {
    let entrance = Entrance { listener, acceptor, handshakes: JoinSet::new() };
    stream::unfold(entrance, async |mut entrance| Some((Ok(entrance.next().await), entrance)))
}

struct Entrance {
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    handshakes: JoinSet<Option<Encrypted<TcpStream>>>,
}

impl Entrance {
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                accepted = accept(&self.listener), if self.handshakes.len() < HANDSHAKES_MAX => match (accepted, self.acceptor.clone()) {
                    (Ok((stream, _)), None) => return Connection(Either::Left(stream)),
                    (Ok((stream, remote)), Some(acceptor)) => {
                        self.handshakes.spawn(secured(acceptor, stream, remote));
                    }
                    (Err(error), _) => {
                        debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(stream)) = done {
                        return Connection(Either::Right(stream));
                    }
                }
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, remote))
}

/// Performs the handshake, and logs why it failed: only masters of the cluster have reason to call.
async fn secured(
    acceptor: Acceptor,
    stream: TcpStream,
    remote: SocketAddr,
) -> Option<Encrypted<TcpStream>> {
    match acceptor.accept(stream).await {
        Ok(accepted) => Some(accepted.stream),
        Err(NotAccepted::Plain(_)) => {
            log_stranger(&acceptor, remote, "it does not speak TLS");
            None
        }
        Err(NotAccepted::Failed(error)) => {
            let is_late = error.kind() == io::ErrorKind::TimedOut;
            let late = is_late.then(|| "its handshake took too long".to_owned());
            match late.or_else(|| credentials::sentence(&error)) {
                Some(reason) => log_stranger(&acceptor, remote, &reason),
                None => debug!(%remote, %error, "a handshake broke off"),
            }
            None
        }
    }
}

/// Logs that a caller was not let in, if a line about it is due.
fn log_stranger(acceptor: &Acceptor, remote: SocketAddr, reason: &str) {
    if let Some(not_logged) = acceptor.refusals().on_refused(remote.ip(), Instant::now()) {
        warn!(%remote, reason, not_logged, "a caller was not let in");
    }
}
