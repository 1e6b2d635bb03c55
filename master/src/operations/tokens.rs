//! Join tokens: created, listed, revoked. The secret leaves the master once and is stored nowhere.

use std::time::Duration;

use cluster_state::{Command, CreateToken, RevokeToken, TokenId};
use proto::problem::{ErrorKind, Problem};
use uuid::Uuid;

use super::views::{CreatedToken, Tokens};
use super::{Answer, Operations, Reading};
use crate::access::Caller;
use crate::ids::no_such_token;
use crate::leader::admission::digest;

/// Order to create a token.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) id: TokenId,
    /// Time for which it admits workers; forever when absent.
    pub(crate) ttl: Option<Duration>,
    /// Note for people.
    pub(crate) description: String,
}

impl Operations {
    /// Creates a token and shows its secret.
    pub(crate) async fn create_token(
        &self,
        NewToken { id, ttl, description }: NewToken,
        by: &Caller,
    ) -> Result<Answer<CreatedToken>, Problem> {
        // 122 random bits, which nobody guesses.
        let secret = Uuid::new_v4().simple().to_string();
        let (token, digest) = (id.clone(), digest(&secret));
        let command = Command::CreateToken(CreateToken { token, digest, ttl, description });
        let mark = self.order(command, by).await?.mark;

        self.reach(Reading::default()).await?;
        let created = self.node().reader().with(|state| state.token(&id).cloned());
        let expires_at = created.and_then(|token| token.expires_at);
        let root = self.root_digest();
        Ok(mark.on(CreatedToken { id, secret, root, expires_at }))
    }

    /// Returns every token, without secrets.
    pub(crate) async fn tokens(&self, reading: Reading) -> Result<Answer<Tokens>, Problem> {
        let mark = self.reach(reading).await?;
        let now = self.node().clock().now();
        let tokens = self.node().reader().with(|state| state.tokens().cloned().collect());
        Ok(mark.on(Tokens { tokens, now }))
    }

    /// Revokes a token; workers that it admitted stay registered.
    pub(crate) async fn revoke_token(
        &self,
        token: TokenId,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let unknown = no_such_token(&token);
        match self.order(Command::RevokeToken(RevokeToken { token }), by).await {
            Ok(revoked) => Ok(revoked.map(drop)),
            Err(problem) if problem.kind == ErrorKind::Forbidden => Err(unknown),
            Err(problem) => Err(problem),
        }
    }
}
