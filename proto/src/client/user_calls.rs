//! Calls about users, each with its rule for repeating.

use uuid::Uuid;

use super::operator_calls::naming_lost_secret;
use super::{Client, ClientError, Repeat};
use crate::v1;
use crate::v1::user_service_client::UserServiceClient;

/// Number of letters of the public part of a token: enough for people to tell tokens apart.
const DRAWN_ID_LEN: usize = 12;

impl Client {
    /// Returns as whom the cluster sees this client. The next master answers, whoever leads.
    pub async fn who_am_i(&self) -> Result<v1::CallerIdentity, ClientError> {
        let rules = self.rules(Repeat::Always);
        self.call(rules, v1::WhoAmIRequest {}, |channel, request| async move {
            UserServiceClient::new(channel).who_am_i(request).await
        })
        .await
    }

    /// Creates a user's token. Its public part is chosen here unless it is given: a repetition after
    /// a lost answer then finds the token of the first time, whose secret nobody knows, and the error
    /// says so.
    pub async fn create_user_token(
        &self,
        mut request: v1::CreateUserTokenRequest,
    ) -> Result<v1::CreatedUserToken, ClientError> {
        if request.token_id.is_empty() {
            let drawn = Uuid::new_v4().simple().to_string();
            request.token_id = drawn.chars().take(DRAWN_ID_LEN).collect();
        }
        let id = request.token_id.clone();
        let answer = self
            .call(self.rules(Repeat::Always), request, |channel, request| async move {
                UserServiceClient::new(channel).create_user_token(request).await
            })
            .await;
        answer.map_err(|error| naming_lost_secret(error, &id))
    }

    /// Returns the tokens of all users, without secrets.
    pub async fn user_tokens(&self) -> Result<v1::UserTokenList, ClientError> {
        let request = v1::ListUserTokensRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            UserServiceClient::new(channel).list_user_tokens(request).await
        })
        .await
    }

    /// Revokes a user's token.
    pub async fn revoke_user_token(&self, token_id: &str) -> Result<(), ClientError> {
        let request = v1::RevokeUserTokenRequest { token_id: token_id.to_owned() };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            UserServiceClient::new(channel).revoke_user_token(request).await
        })
        .await?;
        Ok(())
    }
}
