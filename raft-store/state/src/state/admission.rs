//! Who may join, who has left, and whether too many are away at once.

use super::State;
use crate::{Departed, JoinToken, MassLoss, TokenId, WorkerId};

impl State {
    /// Workers that were taken off the registry and are to be told.
    pub fn departed(&self) -> impl ExactSizeIterator<Item = &Departed> {
        self.departed.values()
    }

    /// A worker that was taken off the registry and is to be told.
    #[must_use]
    pub fn departed_worker(&self, id: &WorkerId) -> Option<&Departed> {
        self.departed.get(id)
    }

    /// The join tokens, by name.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &JoinToken> {
        self.tokens.values()
    }

    /// A join token.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&JoinToken> {
        self.tokens.get(id)
    }

    /// The mass loss that is not over.
    #[must_use]
    pub const fn mass_loss(&self) -> Option<&MassLoss> {
        self.mass_loss.as_ref()
    }

    pub(crate) fn put_departed(&mut self, departed: Departed) {
        self.departed.insert(departed.worker.clone(), departed);
    }

    pub(crate) fn remove_departed(&mut self, id: &WorkerId) {
        self.departed.remove(id);
    }

    pub(crate) fn put_token(&mut self, token: JoinToken) {
        self.tokens.insert(token.id.clone(), token);
    }

    pub(crate) fn remove_token(&mut self, id: &TokenId) {
        self.tokens.remove(id);
    }

    pub(crate) const fn put_mass_loss(&mut self, mass_loss: Option<MassLoss>) {
        self.mass_loss = mass_loss;
    }
}
