//! Tokens of users.

use super::State;
use crate::{TokenId, UserToken};

impl State {
    /// Returns the tokens of users, by their public parts.
    pub fn user_tokens(&self) -> impl ExactSizeIterator<Item = &UserToken> {
        self.user_tokens.values()
    }

    /// Returns a user's token.
    #[must_use]
    pub fn user_token(&self, id: &TokenId) -> Option<&UserToken> {
        self.user_tokens.get(id)
    }

    pub(crate) fn put_user_token(&mut self, token: UserToken) {
        self.user_tokens.insert(token.id.clone(), token);
    }

    pub(crate) fn remove_user_token(&mut self, id: &TokenId) {
        self.user_tokens.remove(id);
    }
}
