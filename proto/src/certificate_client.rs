//! Calls one master about certificates, each over a connection of its own: they are rare.

use std::fmt;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::channel::Dialer;
use crate::deadline::{timed, within};
use crate::v1;
use crate::v1::certificate_service_client::CertificateServiceClient;

/// Longest call: it waits for a commit.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest question that waits for nothing.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

/// A master gave no answer, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let sentence = credentials::sentence(&status);
        Self(sentence.unwrap_or_else(|| status.message().to_owned()))
    }
}

/// Request of a worker for a certificate.
#[derive(Clone)]
pub struct CertificateOrder {
    /// Request (PKCS #10) in DER.
    pub request: Vec<u8>,
    /// Name of the worker.
    pub worker: String,
    /// Name and secret of a join token; empty where a certificate is shown.
    pub join_token: String,
}

impl fmt::Debug for CertificateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        f.debug_struct("CertificateOrder").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// Client of one master.
#[derive(Debug, Clone)]
pub struct CertificateClient {
    inner: CertificateServiceClient<Channel>,
}

impl CertificateClient {
    /// Creates a client of the master at `address` (`host:port`), which connects when it is used.
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed.
    pub fn new(dialer: &Dialer, address: &str) -> Result<Self, Refusal> {
        let channel = dialer.connect_lazily(address);
        let channel = channel.map_err(|error| Refusal(error.to_string()))?;
        Ok(Self { inner: CertificateServiceClient::new(channel) })
    }

    /// Returns what the cluster trusts, in PEM.
    ///
    /// # Errors
    ///
    /// When the master gives none.
    pub async fn roots(mut self) -> Result<String, Refusal> {
        let call = self.inner.get_roots(timed(v1::GetRootsRequest {}, TIMEOUT));
        Ok(answer(TIMEOUT, call).await?.pem)
    }

    /// Asks for a certificate. Returns it with its issuer's, and what the cluster trusts.
    ///
    /// # Errors
    ///
    /// When the master issues none.
    pub async fn issue(mut self, order: CertificateOrder) -> Result<(String, String), Refusal> {
        let CertificateOrder { request, worker, join_token } = order;
        let request =
            v1::IssueCertificateRequest { request: request.into(), worker_id: worker, join_token };
        let call = self.inner.issue(timed(request, TIMEOUT));
        let v1::CertificateIssued { chain, roots } = answer(TIMEOUT, call).await?;
        Ok((chain, roots))
    }

    /// Asks for the key of the issuer whose certificate has that digest; for masters only.
    ///
    /// # Errors
    ///
    /// When the master does not hold it, or does not give it.
    pub async fn fetch_key(mut self, digest: &[u8]) -> Result<String, Refusal> {
        let request = v1::FetchIssuerKeyRequest { digest: digest.to_vec().into() };
        let call = self.inner.fetch_key(timed(request, QUESTION_TIMEOUT));
        Ok(answer(QUESTION_TIMEOUT, call).await?.key)
    }

    /// Returns the digest of the issuer whose key the master holds; empty without one.
    ///
    /// # Errors
    ///
    /// When the master does not answer.
    pub async fn held_issuer(mut self) -> Result<Vec<u8>, Refusal> {
        let call = self.inner.holds_key(timed(v1::HoldsIssuerKeyRequest {}, QUESTION_TIMEOUT));
        Ok(answer(QUESTION_TIMEOUT, call).await?.digest.to_vec())
    }
}

async fn answer<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Refusal> {
    Ok(within("the master", timeout, call).await?)
}
