//! Applies commands about the mass-loss alarm.

use super::Apply;
use crate::{MassLoss, RaiseMassLoss, Rejection, Reply, Term};

impl Apply<'_> {
    /// Raises the alarm, or raises the numbers of an alarm that stands already.
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

    /// Acknowledges the alarm: from now on, tasks of lost workers are requeued at once.
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

    /// Clears the alarm.
    pub(super) fn end_mass_loss(&mut self, term: Term) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        if self.state.mass_loss().is_some() {
            self.remove_mass_loss();
        }
        Ok(Reply::Done)
    }
}
