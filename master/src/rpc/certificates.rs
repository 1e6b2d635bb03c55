//! Calls about certificates.

use proto::problem::Problem;
use proto::v1;
use proto::v1::certificate_service_server::CertificateService;
use tonic::{Request, Response, Status};

use super::{caller, reply, reply_unmarked};
use crate::access::{Origin, Principal};
use crate::operations::{Operations, Reading};
use crate::wire;

#[derive(Clone, Debug)]
pub(super) struct CertificateEndpoint {
    pub(super) operations: Operations,
}

fn origin<T>(request: &Request<T>) -> Origin {
    request.extensions().get::<Origin>().cloned().unwrap_or_default()
}

#[tonic::async_trait]
impl CertificateService for CertificateEndpoint {
    async fn get_roots(
        &self,
        request: Request<v1::GetRootsRequest>,
    ) -> Result<Response<v1::Roots>, Status> {
        let roots = async {
            // A worker goes by it from now on: it must not be older than what the worker was told.
            if matches!(caller(&request)?.principal(), Principal::Worker(_)) {
                self.operations.reach(Reading::default()).await?;
            }
            self.operations.trust().map(wire::roots)
        };
        reply_unmarked(&self.operations, roots.await)
    }

    async fn issue(
        &self,
        request: Request<v1::IssueCertificateRequest>,
    ) -> Result<Response<v1::CertificateIssued>, Status> {
        let issued = async {
            let (caller, origin) = (caller(&request)?, origin(&request));
            let order = wire::certificate_order(request.get_ref())?;
            self.operations.issue_certificate(order, (&caller, &origin)).await
        };
        reply(&self.operations, issued.await, wire::certificate_issued)
    }

    async fn adopt(
        &self,
        request: Request<v1::AdoptIssuerRequest>,
    ) -> Result<Response<v1::AdoptIssuerResponse>, Status> {
        let adopted = async {
            let (caller, origin) = (caller(&request)?, origin(&request));
            let new = wire::new_issuer(request.into_inner());
            self.operations.adopt_issuer(new, &origin, &caller).await
        };
        reply(&self.operations, adopted.await, |()| v1::AdoptIssuerResponse {})
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateAuthorityRequest>,
    ) -> Result<Response<v1::RotateAuthorityResponse>, Status> {
        let rotated = async {
            let (caller, origin) = (caller(&request)?, origin(&request));
            let order = wire::rotation_order(request.into_inner())?;
            self.operations.rotate_authority(order, &origin, &caller).await
        };
        reply(&self.operations, rotated.await, |()| v1::RotateAuthorityResponse {})
    }

    async fn rotation_progress(
        &self,
        _: Request<v1::RotationProgressRequest>,
    ) -> Result<Response<v1::RotationStatus>, Status> {
        let progress = self.operations.own_rotation_progress().await;
        let status = progress.map(|view| view.map(wire::own_rotation).unwrap_or_default());
        reply_unmarked(&self.operations, status)
    }

    async fn status(
        &self,
        _: Request<v1::CertificateStatusRequest>,
    ) -> Result<Response<v1::CertificateStatus>, Status> {
        let status = self.operations.certificate_status(Reading::default()).await;
        reply(&self.operations, status, wire::certificate_status)
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeCertificatesRequest>,
    ) -> Result<Response<v1::RevokeCertificatesResponse>, Status> {
        let revoked = async {
            let holder = wire::holder(request.get_ref())?;
            self.operations.revoke_certificates(holder, &caller(&request)?).await
        };
        reply(&self.operations, revoked.await, |()| v1::RevokeCertificatesResponse {})
    }

    async fn fetch_key(
        &self,
        request: Request<v1::FetchIssuerKeyRequest>,
    ) -> Result<Response<v1::IssuerKey>, Status> {
        let fetched = || {
            let (caller, origin) = (caller(&request)?, origin(&request));
            let key = self.operations.issuer_key(&request.get_ref().digest, (&caller, &origin))?;
            Ok::<_, Problem>(v1::IssuerKey { key: key.reveal().to_owned() })
        };
        reply_unmarked(&self.operations, fetched())
    }

    async fn holds_key(
        &self,
        _: Request<v1::HoldsIssuerKeyRequest>,
    ) -> Result<Response<v1::HoldsIssuerKeyResponse>, Status> {
        let held = wire::held_issuers(self.operations.held_issuers());
        reply_unmarked(&self.operations, Ok(held))
    }
}
