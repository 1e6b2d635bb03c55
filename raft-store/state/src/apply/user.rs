//! Applies commands about users.

use super::Apply;
use crate::{Change, CreateUserToken, Key, Record, Rejection, Reply, TokenId, UserToken};

impl Apply<'_> {
    /// Creates a user's token. If there are too many, removes an expired one to make room.
    pub(super) fn create_user_token(
        &mut self,
        command: CreateUserToken,
    ) -> Result<Reply, Rejection> {
        let CreateUserToken { token: id, user, role, scope, digest, ttl, description, by } =
            command;
        if self.state.user_token(&id).is_some() {
            return Err(Rejection::UserTokenExists { token: id.as_str().into() });
        }
        if ttl.is_some_and(|ttl| ttl > self.limits().operator_timeout_max) {
            return Err(Rejection::too_long("a token lasts", self.limits().operator_timeout_max));
        }

        if self.state.user_tokens().len() >= self.limits().user_tokens_max {
            let expired = self.state.user_tokens().find(|token| token.is_expired(self.now));
            let Some(expired) = expired.map(|token| token.id.clone()) else {
                return Err(Rejection::limit("tokens of users", self.limits().user_tokens_max));
            };
            self.remove_user_token(&expired);
        }

        let token = UserToken {
            id,
            user,
            role,
            scope,
            digest,
            description,
            created_by: by,
            created_at: self.now,
            expires_at: ttl.map(|ttl| self.now.after(ttl)),
            index: self.index,
        };
        self.state.put_user_token(token.clone());
        self.changes.push(Change::Put(Record::UserToken(token)));
        Ok(Reply::Done)
    }

    /// Revokes a user's token.
    pub(super) fn revoke_user_token(&mut self, id: &TokenId) -> Result<Reply, Rejection> {
        if self.state.user_token(id).is_none() {
            return Err(Rejection::NoUserToken { token: id.as_str().into() });
        }
        self.remove_user_token(id);
        Ok(Reply::Done)
    }

    fn remove_user_token(&mut self, id: &TokenId) {
        self.state.remove_user_token(id);
        self.changes.push(Change::Delete(Key::UserToken(id.clone())));
    }
}
