//! A client for the few small documents of an identity provider. It follows no redirections, waits no
//! longer than a few seconds and reads no more than a few kilobytes.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::url::Url;

/// Time for one exchange, from the search for the address to the last byte.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest document: a set of keys has a few kilobytes.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// A client of web servers. Clones share everything.
#[derive(Clone)]
pub struct HttpsClient {
    tls: TlsConnector,
}

/// Reason that a document was not fetched, or that there is no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Certificates that are to be trusted cannot be read.
    #[error("cannot read the certificates in {}: {detail}", path.display())]
    Roots { path: PathBuf, detail: String },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The server cannot be reached, or is another.
    #[error("cannot reach {host}")]
    Unreachable { host: String, source: io::Error },
    /// The exchange broke off.
    #[error("the exchange with {host} broke off")]
    Broken { host: String, source: hyper::Error },
    /// The answer did not come as a whole.
    #[error("the answer of {host} is too long or was cut: {detail}")]
    Body { host: String, detail: String },
    /// The server did not answer in time.
    #[error("{host} has not answered within {} s", EXCHANGE_TIMEOUT.as_secs())]
    TimedOut { host: String },
    /// The server refuses.
    #[error("{url} answers with the status {status}")]
    Status { url: String, status: StatusCode },
}

/// Answer of a server.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    /// Status.
    pub(crate) status: StatusCode,
    /// Body, as a whole.
    pub(crate) body: Bytes,
}

impl HttpsClient {
    /// Makes a client that trusts the certificates of a file or, without one, those of the system. Without
    /// any, it reaches servers in clear text only.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub fn new(ca: Option<&Path>) -> Result<Self, HttpError> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Fetches a document.
    ///
    /// # Errors
    ///
    /// As [`HttpError`] says, and when the answer has another status than 200.
    pub async fn get(&self, url: &Url) -> Result<Bytes, HttpError> {
        let answer = self.send(url, Request::get(url.path()), Bytes::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(HttpError::Status { url: url.to_string(), status: answer.status });
        }
        Ok(answer.body)
    }

    async fn send(
        &self,
        url: &Url,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<HttpAnswer, HttpError> {
        let request = request
            .header(header::HOST, url.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("cloudai/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| unreachable(url, io::Error::other(error)))?;
        match tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange(url, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::TimedOut { host: url.host().to_owned() }),
        }
    }

    async fn exchange(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> Result<HttpAnswer, HttpError> {
        let tcp = TcpStream::connect((url.host(), url.port()));
        let tcp = tcp.await.map_err(|source| unreachable(url, source))?;
        if !url.is_secured() {
            return over(tcp, url, request).await;
        }
        let name = match url.host().parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(url.host().to_owned())
                .map_err(|error| unreachable(url, io::Error::other(error)))?,
        };
        let stream =
            self.tls.connect(name, tcp).await.map_err(|source| unreachable(url, source))?;
        over(stream, url, request).await
    }
}

impl std::fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpsClient").finish_non_exhaustive()
    }
}

/// Exchanges one request over a connection.
async fn over<S>(
    stream: S,
    url: &Url,
    request: Request<Full<Bytes>>,
) -> Result<HttpAnswer, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |source| HttpError::Broken { host: url.host().to_owned(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
        let cut = |error: Box<dyn std::error::Error + Send + Sync>| HttpError::Body {
            host: url.host().to_owned(),
            detail: error.to_string(),
        };
        Ok(HttpAnswer { status, body: body.map_err(cut)?.to_bytes() })
    };
    // The end of the connection is the end of the answer, which says itself whether it is whole.
    let driven = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answered => answer,
        () = driven => Err(HttpError::TimedOut { host: url.host().to_owned() }),
    }
}

fn unreachable(url: &Url, source: io::Error) -> HttpError {
    HttpError::Unreachable { host: url.host().to_owned(), source }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let fault = |detail: String| HttpError::Roots { path: path.to_owned(), detail };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|error| fault(error.to_string()))?;
    if found.is_empty() { Err(fault("there are none".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests;
