//! Keeps what workers report of attempts that the restored state did not know, until an operator drops
//! it.

use super::Apply;
use crate::{
    AttemptRef, DropOrphans, Epoch, FinishVerdict, FinishedAttempt, Orphan, OrphanEnd, OrphanId,
    OrphanSelection, Rejection, Reply, WorkerId,
};

impl Apply<'_> {
    /// Keeps a result that changes no task, if the state has lost its attempt.
    pub(super) fn keep_result(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        stale: FinishedAttempt,
    ) -> FinishVerdict {
        let FinishedAttempt { attempt, outcome, report: _ } = stale;
        self.keep_orphan(worker, epoch, attempt, OrphanEnd::Ended(outcome));
        FinishVerdict::Stale
    }

    /// Keeps the end of an attempt if the state has lost it. A worker repeats a report until it is
    /// confirmed: the first end that it tells counts, and outweighs that it was told to stop.
    pub(super) fn keep_orphan(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        attempt: AttemptRef,
        end: OrphanEnd,
    ) {
        if !self.state.has_lost(attempt) {
            return;
        }
        let end = end.cut(self.limits().orphan_detail_bytes_max);
        if let Some(known) = self.state.orphan_of(attempt, worker) {
            if known.end == OrphanEnd::Stopped && end != OrphanEnd::Stopped {
                let known = Orphan::clone(known);
                self.put_orphan(Orphan { end, epoch, reported_at: self.now, ..known });
                self.make_room_for_orphans();
            }
            return;
        }

        self.meta.orphans_found = self.meta.orphans_found.saturating_add(1);
        let orphan = Orphan {
            id: OrphanId(self.meta.orphans_found),
            worker: worker.clone(),
            epoch,
            attempt,
            end,
            reported_at: self.now,
            generation: self.meta.generation.number,
            index: self.index,
        };
        self.put_orphan(orphan);
        self.make_room_for_orphans();
    }

    /// Removes the oldest ones that there is no room for.
    fn make_room_for_orphans(&mut self) {
        let limits = self.limits();
        while self.state.orphans().len() > limits.orphans_kept_max
            || self.state.orphan_bytes() > limits.orphan_bytes_max
        {
            let Some(oldest) = self.state.orphans().next().map(|orphan| orphan.id) else { break };
            self.remove_orphan(oldest);
            self.meta.orphans_displaced = self.meta.orphans_displaced.saturating_add(1);
        }
    }

    /// Drops orphaned results: all that are named, or none.
    pub(super) fn drop_orphans(&mut self, command: DropOrphans) -> Result<Reply, Rejection> {
        let mut ids = match command.selection {
            OrphanSelection::These(ids) => ids,
            OrphanSelection::UpTo(last) => {
                let all = self.state.orphans().map(|orphan| orphan.id);
                all.take_while(|id| *id <= last).collect()
            }
        };
        if let Some(orphan) = ids.iter().copied().find(|id| self.state.orphan(*id).is_none()) {
            return Err(Rejection::UnknownOrphan { orphan });
        }

        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            self.remove_orphan(*id);
        }
        Ok(Reply::Dropped(u32::try_from(ids.len()).unwrap_or(u32::MAX)))
    }
}
