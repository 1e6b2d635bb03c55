//! Calls about certificates, each with its rule for repeating.

use super::calls::registry_service;
use super::{Client, ClientError, Repeat};
use crate::v1;
use crate::v1::certificate_service_client::CertificateServiceClient;

impl Client {
    /// Makes an issuer that of the cluster. A second time changes nothing.
    pub async fn adopt_issuer(&self, request: v1::AdoptIssuerRequest) -> Result<(), ClientError> {
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            CertificateServiceClient::new(channel).adopt(request).await
        })
        .await?;
        Ok(())
    }

    /// Begins a change of the authority, or takes its next step.
    pub async fn rotate_authority(
        &self,
        request: v1::RotateAuthorityRequest,
    ) -> Result<(), ClientError> {
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            CertificateServiceClient::new(channel).rotate(request).await
        })
        .await?;
        Ok(())
    }

    /// Returns the issuer, the masters that hold its key, and what is revoked.
    pub async fn certificate_status(&self) -> Result<v1::CertificateStatus, ClientError> {
        let request = v1::CertificateStatusRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            CertificateServiceClient::new(channel).status(request).await
        })
        .await
    }

    /// Revokes what a holder has. What was issued after a first time would be revoked by a second.
    pub async fn revoke_certificates(
        &self,
        request: v1::RevokeCertificatesRequest,
    ) -> Result<(), ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            CertificateServiceClient::new(channel).revoke(request).await
        })
        .await?;
        Ok(())
    }

    /// Removes a worker, revokes its certificates and frees its name.
    pub async fn forget_worker(&self, worker_id: &str, force: bool) -> Result<(), ClientError> {
        let request = v1::ForgetWorkerRequest { worker_id: worker_id.to_owned(), force };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            registry_service(channel).forget(request).await
        })
        .await?;
        Ok(())
    }
}
