//! Who may join, who has left, and whether too many are away at once.

use super::State;
use crate::{Departed, JoinToken, MassLoss, Process, Rejection, TokenId, Worker, WorkerId};

impl State {
    /// Checks whether a process may register under the name of a worker.
    ///
    /// The process that holds it may, and a later start in its data directory, which has ended what
    /// the one before left behind. Anybody else must wait until nothing can run there any more: two
    /// that took the name from each other in turn would lose every task of both.
    ///
    /// # Errors
    ///
    /// Against one that comes late, and against another worker while the first one stands.
    pub fn check_claim(&self, holder: &Worker, claimant: &Process) -> Result<(), Rejection> {
        let Some(process) = &holder.process else { return Ok(()) };
        if claimant.incarnation == process.incarnation {
            let (sequence, current) = (claimant.sequence, process.sequence);
            return match sequence < current {
                true => Err(Rejection::LateRegistration { sequence, current }),
                false => Ok(()),
            };
        }
        let may_run_something = holder.is_active() || self.load(&holder.id).is_some();
        if claimant.restarts(process) || !may_run_something {
            return Ok(());
        }

        let worker = holder.id.as_str().into();
        if claimant.data == process.data && claimant.start < process.start {
            let (start, current) = (claimant.start, process.start);
            return Err(Rejection::LateStart { worker, start, current });
        }
        Err(Rejection::NameInUse { worker, at: holder.address.as_deref().map(Into::into) })
    }

    /// Workers that were taken off the registry and may still run something.
    pub fn departed(&self) -> impl ExactSizeIterator<Item = &Departed> {
        self.departed.values()
    }

    /// A worker that was taken off the registry and may still run something.
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
        self.departed.insert(departed.worker.id.clone(), departed);
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
