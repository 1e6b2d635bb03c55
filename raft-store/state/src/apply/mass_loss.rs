//! The alarm about many workers lost at once.

use super::Apply;
use crate::{MassLoss, RaiseMassLoss, Rejection, Reply, Term};

impl Apply<'_> {
    /// Raises the alarm. One that stands already only learns of greater numbers.
    pub(super) fn raise_mass_loss(&mut self, command: &RaiseMassLoss) -> Result<Reply, Rejection> {
        let RaiseMassLoss { term, lost, of } = *command;
        self.check_term(term)?;
        let index = self.index;
        let known = self.state.mass_loss().copied();
        let raised = match known {
            Some(known) => MassLoss { lost: known.lost.max(lost), of: known.of.max(of), ..known },
            None => MassLoss { since: self.now, lost, of, acknowledged_at: None, index },
        };
        if known != Some(raised) {
            self.put_mass_loss(MassLoss { index, ..raised });
        }
        Ok(Reply::Done)
    }

    /// From here on tasks of lost workers are queued again at once.
    pub(super) fn acknowledge_mass_loss(&mut self) -> Result<Reply, Rejection> {
        let Some(known) = self.state.mass_loss().copied() else {
            return Err(Rejection::NoMassLoss);
        };
        if known.brakes() {
            let acknowledged_at = Some(self.now);
            self.put_mass_loss(MassLoss { acknowledged_at, index: self.index, ..known });
        }
        Ok(Reply::Done)
    }

    /// Takes the alarm back.
    pub(super) fn end_mass_loss(&mut self, term: Term) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        if self.state.mass_loss().is_some() {
            self.end_of_mass_loss();
        }
        Ok(Reply::Done)
    }
}
