//! Tokens of users: created, listed, revoked. The secret leaves the master once and is stored nowhere.

use std::collections::BTreeMap;

use cluster_state::{
    Command, CreateUserToken, InvalidId, RevokeUserToken, Role, Scope, Timestamp, TokenId,
    UserToken,
};
use proto::convert::NewUserToken;
use proto::problem::{ErrorKind, Problem};

use super::{Answer, Operations, Reading};
use crate::access::{self, Caller};

/// Caller as this master sees it.
#[derive(Debug)]
pub(crate) struct CallerIdentity {
    pub(crate) principal: String,
    pub(crate) role: Option<Role>,
    pub(crate) scope: Option<Scope>,
    pub(crate) cluster_name: String,
}

/// A user's token that was created, as the user presents it.
#[derive(Debug)]
pub(crate) struct CreatedUserToken {
    pub(crate) id: TokenId,
    pub(crate) token: String,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Tokens of all users, and the time by which they have expired or not.
#[derive(Debug)]
pub(crate) struct UserTokens {
    pub(crate) tokens: Vec<UserToken>,
    /// Last time that each token has admitted somebody on this master.
    pub(crate) last_uses: BTreeMap<TokenId, Timestamp>,
    pub(crate) now: Timestamp,
}

impl Operations {
    /// Returns as whom this master sees a caller. No state of the log stands behind that.
    pub(crate) fn caller_identity(&self, caller: &Caller) -> CallerIdentity {
        CallerIdentity {
            principal: caller.principal().to_string(),
            role: caller.role(),
            scope: caller.scope().cloned(),
            cluster_name: self.shared.names.cluster.clone(),
        }
    }

    /// Creates a user's token and shows it.
    pub(crate) async fn create_user_token(
        &self,
        new: NewUserToken,
        by: &Caller,
    ) -> Result<Answer<CreatedUserToken>, Problem> {
        let NewUserToken { id, user, role, scope, ttl, description } = new;
        let id = match id {
            Some(id) => id,
            None => access::draw_id().parse().map_err(|error: InvalidId| {
                tracing::error!(%error, "a drawn id is none");
                Problem::new(ErrorKind::Internal, "no id could be drawn")
            })?,
        };
        let secret = access::draw_secret();
        let command = Command::CreateUserToken(CreateUserToken {
            token: id.clone(),
            user,
            role,
            scope,
            digest: access::digest(&secret),
            ttl,
            description,
            by: by.principal().to_string(),
        });
        let mark = self.order(command, by).await?.mark;

        self.reach(Reading::default()).await?;
        let created = self.node().reader().with(|state| state.user_token(&id).cloned());
        let expires_at = created.and_then(|token| token.expires_at);
        let token = access::whole(&id, &secret);
        Ok(mark.on(CreatedUserToken { id, token, expires_at }))
    }

    /// Returns the tokens of all users, without secrets.
    pub(crate) async fn user_tokens(
        &self,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<UserTokens>, Problem> {
        let mark = self.reach(reading).await?;
        let now = self.node().clock().now();
        let tokens = self.node().reader().with(|state| state.user_tokens().cloned().collect());
        let mut tokens: Vec<UserToken> = tokens;
        tokens.sort_by(|left, right| (&left.user, &left.id).cmp(&(&right.user, &right.id)));
        Ok(mark.on(UserTokens { tokens, last_uses: by.last_uses(), now }))
    }

    /// Revokes a user's token.
    pub(crate) async fn revoke_user_token(
        &self,
        token: TokenId,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let command = Command::RevokeUserToken(RevokeUserToken { token });
        Ok(self.order(command, by).await?.map(drop))
    }
}
