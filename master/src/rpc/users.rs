//! Calls about users: of admins, and of everybody about themselves.

use proto::convert::NewUserToken;
use proto::v1;
use proto::v1::user_service_server::UserService;
use tonic::{Request, Response, Status};

use super::{caller, reply, reply_unmarked};
use crate::operations::{Operations, Reading};
use crate::{ids, wire};

#[derive(Clone, Debug)]
pub(super) struct UserEndpoint {
    pub(super) operations: Operations,
}

#[tonic::async_trait]
impl UserService for UserEndpoint {
    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::CallerIdentity>, Status> {
        let identity = caller(&request).map(|caller| self.operations.caller_identity(&caller));
        reply_unmarked(&self.operations, identity.map(wire::caller_identity))
    }

    async fn create_user_token(
        &self,
        request: Request<v1::CreateUserTokenRequest>,
    ) -> Result<Response<v1::CreatedUserToken>, Status> {
        let created = async {
            let caller = caller(&request)?;
            let new = NewUserToken::try_from(request.into_inner())?;
            self.operations.create_user_token(new, &caller).await
        };
        reply(&self.operations, created.await, wire::created_user_token)
    }

    async fn list_user_tokens(
        &self,
        request: Request<v1::ListUserTokensRequest>,
    ) -> Result<Response<v1::UserTokenList>, Status> {
        let listed = async {
            let caller = caller(&request)?;
            self.operations.user_tokens(Reading::default(), &caller).await
        };
        reply(&self.operations, listed.await, wire::user_tokens)
    }

    async fn revoke_user_token(
        &self,
        request: Request<v1::RevokeUserTokenRequest>,
    ) -> Result<Response<v1::RevokeUserTokenResponse>, Status> {
        let revoked = async {
            let id = ids::user_token(&request.get_ref().token_id)?;
            self.operations.revoke_user_token(id, &caller(&request)?).await
        };
        reply(&self.operations, revoked.await, |()| v1::RevokeUserTokenResponse {})
    }
}
