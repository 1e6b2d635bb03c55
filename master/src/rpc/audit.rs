//! Calls of admins about the trail.

use proto::consistency::Consistency;
use proto::convert::AuditQuery;
use proto::v1;
use proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::reply;
use crate::operations::Operations;
use crate::wire;

#[derive(Clone, Debug)]
pub(super) struct AuditEndpoint {
    pub(super) operations: Operations,
}

#[tonic::async_trait]
impl AuditService for AuditEndpoint {
    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::AuditPage>, Status> {
        let listed = async {
            let request = request.into_inner();
            let consistency = Consistency::try_from(request.consistency)?;
            self.operations.audit(AuditQuery::try_from(request)?, consistency.into()).await
        };
        reply(&self.operations, listed.await, wire::audit_page)
    }
}
