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

/// Issuers whose keys a master holds, and what it trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldIssuers {
    /// SHA-256 of the certificate of the one in use; empty if its key is not held.
    pub digest: Vec<u8>,
    /// The same of the other one of a change of the authority.
    pub other: Vec<u8>,
    /// Version of what the master trusts.
    pub trust_version: u64,
    /// SHA-256 of the root that vouches for its own certificate.
    pub root: Vec<u8>,
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

    /// Returns what the cluster trusts.
    ///
    /// # Errors
    ///
    /// When the master gives none.
    pub async fn roots(mut self) -> Result<v1::Roots, Refusal> {
        let call = self.inner.get_roots(timed(v1::GetRootsRequest {}, TIMEOUT));
        answer(TIMEOUT, call).await
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

    /// Returns the issuers whose keys the master holds, and what it trusts.
    ///
    /// # Errors
    ///
    /// When the master does not answer.
    pub async fn held_issuer(mut self) -> Result<HeldIssuers, Refusal> {
        let call = self.inner.holds_key(timed(v1::HoldsIssuerKeyRequest {}, QUESTION_TIMEOUT));
        let v1::HoldsIssuerKeyResponse { digest, other, trust_version, root } =
            answer(QUESTION_TIMEOUT, call).await?;
        let (digest, other, root) = (digest.to_vec(), other.to_vec(), root.to_vec());
        Ok(HeldIssuers { digest, other, trust_version, root })
    }

    /// Asks the leader how far a change of the authority is; for masters only.
    ///
    /// # Errors
    ///
    /// When the master does not answer, or does not lead.
    pub async fn rotation_progress(mut self) -> Result<v1::RotationStatus, Refusal> {
        let request = timed(v1::RotationProgressRequest {}, TIMEOUT);
        answer(TIMEOUT, self.inner.rotation_progress(request)).await
    }
}

async fn answer<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Refusal> {
    Ok(within("the master", timeout, call).await?)
}
