//! Admission to the registry: names, join tokens, departed workers; and the mass-loss alarm and the
//! settings.

use std::sync::Arc;

use super::State;
use crate::{
    Departed, JoinToken, MassLoss, Process, Rejection, SettingsRecord, TokenId, Worker, WorkerId,
};

impl State {
    /// Checks whether a process may register under the name of a worker.
    ///
    /// The process that holds the name may, and so may a later start in its data directory, which
    /// has ended what the earlier one left behind. Any other process must wait until nothing can
    /// run under the name any more: two workers that took it from each other in turn would lose
    /// every task of both.
    ///
    /// # Errors
    ///
    /// The claim comes late, or another worker holds the name.
    pub fn check_claim(&self, holder: &Worker, claimant: &Process) -> Result<(), Rejection> {
        let Some(process) = &holder.process else { return Ok(()) };
        if claimant.incarnation == process.incarnation {
            let (sequence, current) = (claimant.sequence, process.sequence);
            if sequence < current {
                return Err(Rejection::LateRegistration { sequence, current });
            }
            return Ok(());
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

    /// Returns the unregistered workers that may still run something.
    pub fn departed(&self) -> impl ExactSizeIterator<Item = &Departed> {
        self.departed.values()
    }

    /// Returns an unregistered worker that may still run something.
    #[must_use]
    pub fn departed_worker(&self, id: &WorkerId) -> Option<&Departed> {
        self.departed.get(id)
    }

    /// Returns the join tokens, by name.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &JoinToken> {
        self.tokens.values()
    }

    /// Returns a join token.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&JoinToken> {
        self.tokens.get(id)
    }

    /// Returns the mass loss that is not over.
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

    /// Returns the settings of the cluster; none below level 2 and before its first leader has
    /// recorded them.
    #[must_use]
    pub const fn settings(&self) -> Option<&Arc<SettingsRecord>> {
        self.settings.as_ref()
    }

    pub(crate) fn put_settings(&mut self, record: Arc<SettingsRecord>) {
        self.settings = Some(record);
    }

    pub(crate) const fn put_mass_loss(&mut self, mass_loss: Option<MassLoss>) {
        self.mass_loss = mass_loss;
    }
}
