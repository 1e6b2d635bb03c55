//! A caller with credentials of its own, which trusts the master's authority and checks nothing that it
//! shows itself.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::Role;
use hyper_util::rt::TokioIo;
use master::endpoints::Endpoint;
use prost::Message;
use proto::v1;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Status};

use super::authority::{Shown, TestAuthority};
use crate::one_master::OneMaster;

/// Time that an answer has. Some streams say nothing at first: where a caller is expected to be
/// admitted, silence is no refusal.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_WITH_STREAMS: Duration = Duration::from_millis(200);

/// Answer to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Whatever was asked was looked at.
    Admitted,
    /// 401.
    Unauthenticated,
    /// 403.
    Forbidden,
    /// 429.
    TooMany,
    /// The handshake was refused.
    NoConnection,
    /// Nothing was answered.
    Silence,
}

/// A caller.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    http: SocketAddr,
    grpc: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

impl Caller {
    pub(super) fn new(master: &OneMaster, trusted: &TestAuthority, shown: Option<Shown>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.root()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let tls = match shown {
            Some(Shown { chain, key }) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        Self { http: master.http(), grpc: master.grpc(), tls: Arc::new(tls), token: None }
    }

    pub(super) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Calls an endpoint without saying anything that makes sense to it.
    pub(super) async fn ask(&self, endpoint: &Endpoint, expected: Outcome) -> Outcome {
        let is_stream_expected = expected == Outcome::Admitted;
        let patience = if is_stream_expected { PATIENCE_WITH_STREAMS } else { PATIENCE };
        let path = endpoint.path.replace("{id}", "99").replace("{*file}", "99");
        match &endpoint.method {
            Some(method) => {
                let request = self.request(method, &path, "");
                match tokio::time::timeout(patience, request).await {
                    Ok(Ok(answer)) => outcome_of(status_of(&answer)),
                    Ok(Err(error)) => assert_refused(&error),
                    Err(_) if is_stream_expected => Outcome::Admitted,
                    Err(_) => Outcome::Silence,
                }
            }
            None if expected == Outcome::NoConnection => {
                let greeted = tokio::time::timeout(patience, self.greeting()).await;
                greeted.unwrap_or(Outcome::Silence)
            }
            None => match tokio::time::timeout(patience, self.call(path, ())).await {
                Ok(outcome) => outcome,
                Err(_) if is_stream_expected => Outcome::Admitted,
                Err(_) => Outcome::Silence,
            },
        }
    }

    /// Creates a token, and returns its public part and the whole.
    pub(super) async fn create_token(&self, role: Role) -> (String, String) {
        let body = json!({"user": "ada", "role": role.name()}).to_string();
        let answer = self.request("POST", "/api/users/tokens", &body).await.unwrap();
        assert_eq!(status_of(&answer), 201, "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let created = serde_json::from_str::<Value>(body).unwrap();
        let text = |field: &str| created[field].as_str().unwrap().to_owned();
        (text("token_id"), text("token"))
    }

    pub(super) async fn revoke_token(&self, id: &str) {
        let answer = self.request("DELETE", &format!("/api/users/tokens/{id}"), "").await.unwrap();
        assert_eq!(status_of(&answer) / 100, 2, "{answer}");
    }

    async fn connect(
        &self,
        address: SocketAddr,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(tls)).connect(name, tcp).await
    }

    /// Waits for the first word of a server, which in HTTP/2 does not wait for a caller's. A refusal comes after
    /// the handshake, and a call that begins just then may stay without an answer for ever (seen once, with
    /// tonic 0.14.9 and hyper 1.12.0).
    async fn greeting(&self) -> Outcome {
        let Ok(mut stream) = self.connect(self.grpc, b"h2").await else {
            return Outcome::NoConnection;
        };
        match stream.read(&mut [0; 1]).await {
            Ok(1..) => Outcome::Admitted,
            Ok(0) | Err(_) => Outcome::NoConnection,
        }
    }

    /// Sends a request and returns its answer.
    async fn request(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let token = self.token.iter().map(|token| format!("authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            token.collect::<String>(),
            body.len()
        );
        let mut stream = self.connect(self.http, b"http/1.1").await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Err(error) if answer.is_empty() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Revokes what a holder has.
    pub(super) async fn revoke_certificates(&self, role: &str, name: &str) {
        let path = "/cloudai.v1.CertificateService/Revoke".to_owned();
        let (role, name) = (role.to_owned(), name.to_owned());
        let revocation = v1::RevokeCertificatesRequest { role, name };
        assert_eq!(self.call(path, revocation).await, Outcome::Admitted);
    }

    /// Calls a method with one message.
    async fn call<M: Message + 'static>(&self, path: String, message: M) -> Outcome {
        let caller = self.clone();
        let connector = tower::service_fn(move |_| {
            let caller = caller.clone();
            async move { caller.connect(caller.grpc, b"h2").await.map(TokioIo::new) }
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
        let Ok(channel) = endpoint.connect_with_connector(connector).await else {
            return Outcome::NoConnection;
        };
        let mut request = Request::new(tokio_stream::once(message));
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse::<AsciiMetadataValue>().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<M, ()>::default();
        match client.streaming(request, path.parse().unwrap(), codec).await {
            Err(status) => outcome_of_call(&status),
            Ok(_) => Outcome::Admitted,
        }
    }
}

fn status_of(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(!status.is_empty(), "no answer: '{answer}'");
    status.parse().unwrap()
}

const fn outcome_of(status: u16) -> Outcome {
    match status {
        401 => Outcome::Unauthenticated,
        403 => Outcome::Forbidden,
        429 => Outcome::TooMany,
        _ => Outcome::Admitted,
    }
}

fn outcome_of_call(status: &Status) -> Outcome {
    // A status that the master has sent has no cause here. TLS 1.3 refuses a client's certificate after
    // the client has begun to speak.
    if status.source().is_some() {
        return Outcome::NoConnection;
    }
    let refusals = [
        (Code::Unauthenticated, Outcome::Unauthenticated),
        (Code::PermissionDenied, Outcome::Forbidden),
        (Code::ResourceExhausted, Outcome::TooMany),
    ];
    let refusal = refusals.iter().find(|(code, _)| *code == status.code());
    refusal.map_or(Outcome::Admitted, |(_, outcome)| *outcome)
}

/// A connection that is not admitted ends with an alert; anything else is a fault of the test.
fn assert_refused(error: &io::Error) -> Outcome {
    let text = error.to_string();
    let is_alert = text.contains("alert") || error.kind() == io::ErrorKind::ConnectionReset;
    assert!(is_alert, "{error:?}");
    Outcome::NoConnection
}
