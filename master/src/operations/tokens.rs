//! Join tokens: created, listed, revoked. The secret leaves the master once and is stored nowhere.

use cluster_state::{Command, CreateToken, RevokeToken, TokenId};
use proto::convert;
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use uuid::Uuid;

use super::{Answer, Operations, Reading};
use crate::leader::admission::digest;

/// Letters of a drawn name: enough to tell tokens apart by eye.
const DRAWN_NAME_LEN: usize = 8;

impl Operations {
    /// Creates a token and shows its secret.
    pub(crate) async fn create_token(
        &self,
        request: v1::CreateTokenRequest,
    ) -> Result<Answer<v1::CreatedToken>, Problem> {
        let drawn = Uuid::new_v4().simple().to_string();
        let name = match request.token_id.as_str() {
            "" => drawn.chars().take(DRAWN_NAME_LEN).collect(),
            name => name.to_owned(),
        };
        let token = convert::id::<TokenId>("/token_id", &name)?;
        let ttl = convert::token_ttl(&request)?;
        // 122 random bits, which nobody guesses.
        let secret = Uuid::new_v4().simple().to_string();
        let command = Command::CreateToken(CreateToken {
            token: token.clone(),
            digest: digest(&secret),
            ttl,
            description: request.description,
        });
        let mark = self.propose(&command).await?.mark;
        self.reach(Reading::default()).await?;
        let created = self.node().reader().with(|state| state.token(&token).cloned());
        let expires_at = created.and_then(|token| token.expires_at).map(convert::rfc3339);
        let answer = v1::CreatedToken {
            token: format!("{token}.{secret}"),
            token_id: token.to_string(),
            expires_at,
        };
        Ok(mark.on(answer))
    }

    /// Returns every token, without secrets.
    pub(crate) async fn tokens(&self, reading: Reading) -> Result<Answer<v1::TokenList>, Problem> {
        let mark = self.reach(reading).await?;
        let now = self.node().clock().now();
        let tokens = self.node().reader().with(|state| {
            state.tokens().map(|token| convert::token(token, now)).collect::<Vec<_>>()
        });
        Ok(mark.on(v1::TokenList { tokens }))
    }

    /// Takes a token back; workers that it admitted stay registered.
    pub(crate) async fn revoke_token(&self, id: &str) -> Result<Answer<()>, Problem> {
        let unknown = || Problem::new(ErrorKind::NotFound, format!("there is no token '{id}'"));
        let token = id.parse::<TokenId>().map_err(|_| unknown())?;
        match self.propose(&Command::RevokeToken(RevokeToken { token })).await {
            Ok(revoked) => Ok(revoked.map(drop)),
            Err(problem) if problem.kind == ErrorKind::Forbidden => Err(unknown()),
            Err(problem) => Err(problem),
        }
    }
}
