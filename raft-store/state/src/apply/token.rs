//! Applies commands about join tokens.

use super::Apply;
use crate::{CreateToken, JoinToken, Rejection, Reply, TokenId};

impl Apply<'_> {
    /// Creates a token. If there are too many, removes an expired one to make room.
    pub(super) fn create_token(&mut self, command: CreateToken) -> Result<Reply, Rejection> {
        let CreateToken { token: id, digest, ttl, description } = command;
        if self.state.token(&id).is_some() {
            return Err(Rejection::TokenExists { token: id.as_str().into() });
        }
        if ttl.is_some_and(|ttl| ttl > self.limits().operator_timeout_max) {
            return Err(Rejection::too_long("a token lasts", self.limits().operator_timeout_max));
        }
        if self.state.tokens().len() >= self.limits().tokens_max {
            let expired = self.state.tokens().find(|token| token.is_expired(self.now));
            let Some(expired) = expired.map(|token| token.id.clone()) else {
                return Err(Rejection::limit("join tokens", self.limits().tokens_max));
            };
            self.remove_token(&expired);
        }
        let expires_at = ttl.map(|ttl| self.now.after(ttl));
        let (created_at, index) = (self.now, self.index);
        self.put_token(JoinToken { id, digest, description, created_at, expires_at, index });
        Ok(Reply::Done)
    }

    /// Revokes a token. Workers that it admitted stay registered.
    pub(super) fn revoke_token(&mut self, id: &TokenId) -> Result<Reply, Rejection> {
        if self.state.token(id).is_none() {
            return Err(Rejection::InvalidToken { token: id.as_str().into() });
        }
        self.remove_token(id);
        Ok(Reply::Done)
    }

    pub(super) fn check_token(&self, id: &TokenId) -> Result<(), Rejection> {
        let token = self.state.token(id).filter(|token| !token.is_expired(self.now));
        if token.is_none() {
            return Err(Rejection::InvalidToken { token: id.as_str().into() });
        }
        Ok(())
    }
}
