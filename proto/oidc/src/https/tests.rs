//! Documents that are fetched, and servers that are not believed.

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A web server that gives one answer to everything, with the file of its certificate.
struct Server {
    port: u16,
    certificate: tempfile::NamedTempFile,
    _running: JoinSet<()>,
}

impl Server {
    async fn start(answer: &'static str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut running = JoinSet::new();
        running.spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let mut request = [0; 4_096];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /keys HTTP/1.1\r\nhost: localhost:"));
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        Self { port, certificate: file, _running: running }
    }

    fn url(&self, host: &str) -> Url {
        format!("https://{host}:{}/keys", self.port).parse().unwrap()
    }

    async fn get(&self) -> Result<Bytes, HttpError> {
        let client = HttpsClient::new(Some(self.certificate.path())).unwrap();
        client.get(&self.url("localhost")).await
    }
}

#[tokio::test]
async fn a_server_is_believed_with_a_trusted_certificate_of_its_name() {
    let server = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(server.get().await.unwrap(), "{}");
    let trusting = HttpsClient::new(Some(server.certificate.path())).unwrap();
    let other_name = trusting.get(&server.url("127.0.0.1")).await.unwrap_err();
    assert!(matches!(other_name, HttpError::Unreachable { .. }), "{other_name}");
    let untrusting = HttpsClient::new(None).unwrap();
    let unknown = untrusting.get(&server.url("localhost")).await.unwrap_err();
    assert!(matches!(unknown, HttpError::Unreachable { .. }), "{unknown}");
}

#[tokio::test]
async fn an_answer_is_whole_and_short_and_no_redirection() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
    let refused = Server::start(moved).await.get().await.unwrap_err();
    assert!(matches!(refused, HttpError::Status { status: StatusCode::FOUND, .. }), "{refused}");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}";
    let refused = Server::start(cut).await.get().await.unwrap_err();
    assert!(matches!(refused, HttpError::Body { .. }), "{refused}");
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(DOCUMENT_BYTES_MAX + 1));
    let refused = Server::start(endless.leak()).await.get().await.unwrap_err();
    assert!(matches!(refused, HttpError::Body { .. }), "{refused}");
}

#[test]
fn a_file_without_certificates_is_named() {
    for path in ["/dev/null", "/no/such/file"] {
        let error = HttpsClient::new(Some(Path::new(path))).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read the certificates in {path}: ")), "{error}");
    }
}
