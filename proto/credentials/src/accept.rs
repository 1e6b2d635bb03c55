//! Admits connections that show who they are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::InvalidMessage;
use rustls::server::{Accepted as ServerAccepted, Acceptor as ServerAcceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use crate::certificate::Certificate;
use crate::failure::tls_error;
use crate::held::Credentials;
use crate::parties::{Callers, Protocol};
use crate::refusals::Refusals;

/// Limit of a handshake: three packets on a network, and a millisecond of work, which thousands of
/// workers may want at once of a new leader.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The same where only the few masters call.
const HANDSHAKE_OF_FEW_MAX: Duration = Duration::from_secs(2);

/// Bytes that are read at once of a client's first message, which has some hundreds.
const HELLO_PIECE_BYTES: usize = 1_024;

/// An encrypted connection, as the server sees it.
pub type Encrypted<S> = TlsStream<S>;

/// A connection that was admitted.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub stream: Encrypted<S>,
    /// The certificate that was shown.
    pub caller: Option<Certificate>,
}

/// Reason that a connection was not admitted.
#[derive(Debug)]
pub enum NotAccepted<S> {
    /// Its peer speaks without TLS. The connection is given back, to answer it in clear text.
    Plain(S),
    /// The handshake failed.
    Failed(io::Error),
}

/// Admits connections with the certificates of their moment.
#[derive(Debug, Clone)]
pub struct Acceptor {
    credentials: Credentials,
    callers: Callers,
    protocol: Protocol,
    refusals: Arc<Refusals>,
}

impl Acceptor {
    /// Creates what admits such callers, who speak such a protocol inside.
    #[must_use]
    pub fn new(credentials: Credentials, callers: Callers, protocol: Protocol) -> Self {
        Self { credentials, callers, protocol, refusals: Arc::default() }
    }

    /// Returns the bound on lines about those who were not admitted. Clones share it.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Performs the handshake of a new connection.
    ///
    /// # Errors
    ///
    /// When the peer shows what is not believed, or is too slow.
    pub async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, NotAccepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let longest = match self.callers {
            Callers::Anyone => HANDSHAKE_MAX,
            Callers::Masters => HANDSHAKE_OF_FEW_MAX,
        };
        timeout(longest, self.handshake(stream)).await.unwrap_or_else(|_| {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
            Err(NotAccepted::Failed(late))
        })
    }

    async fn handshake<S>(&self, stream: S) -> Result<Accepted<S>, NotAccepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = stream;
        let accepted = match read_hello(&mut stream).await {
            Ok(accepted) => accepted,
            Err(error) if is_plain(&error) => return Err(NotAccepted::Plain(stream)),
            Err(error) => return Err(NotAccepted::Failed(error)),
        };
        let start = StartHandshake::from_parts(accepted, stream);
        let config = self.credentials.server_config(self.callers, self.protocol);
        let config = config.map_err(|error| NotAccepted::Failed(io::Error::other(error)))?;
        let stream = start.into_stream(config).await.map_err(NotAccepted::Failed)?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let caller = shown.map(Certificate::read).transpose();
        let caller = caller.map_err(|error| NotAccepted::Failed(io::Error::other(error)))?;
        Ok(Accepted { stream, caller })
    }
}

/// Reads the first message of a client. One that is no TLS at all is told nothing yet: it would not
/// understand.
pub(crate) async fn read_hello<S>(stream: &mut S) -> io::Result<ServerAccepted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = ServerAcceptor::default();
    let mut buffer = [0; HELLO_PIECE_BYTES];
    loop {
        let read = stream.read(&mut buffer).await?;
        let mut bytes = buffer.get(..read).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.as_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
        while !bytes.is_empty() {
            acceptor.read_tls(bytes)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, error);
                if !is_plain(&error) {
                    let mut told = Vec::new();
                    alert.write_all(&mut told)?;
                    stream.write_all(&told).await?;
                }
                return Err(error);
            }
        }
    }
}

/// Returns true if what arrived is no record of TLS at all.
fn is_plain(error: &io::Error) -> bool {
    matches!(
        tls_error(error),
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
    )
}
