//! Orphaned results, by id and by attempt.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::State;
use crate::{AttemptRef, Orphan, OrphanId, WorkerId};

/// Orphaned results and the indexes over them.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    by_id: BTreeMap<OrphanId, Arc<Orphan>>,
    by_attempt: BTreeMap<(AttemptRef, WorkerId), OrphanId>,
    bytes: u64,
}

impl State {
    /// Returns the orphaned results, oldest first.
    pub fn orphans(&self) -> impl ExactSizeIterator<Item = &Arc<Orphan>> + DoubleEndedIterator {
        self.orphans.by_id.values()
    }

    /// Returns the orphaned results that were found after the one of that id, oldest first.
    pub fn orphans_after(&self, id: OrphanId) -> impl Iterator<Item = &Arc<Orphan>> {
        let after = (Bound::Excluded(id), Bound::Unbounded);
        self.orphans.by_id.range(after).map(|(_, orphan)| orphan)
    }

    /// Returns an orphaned result.
    #[must_use]
    pub fn orphan(&self, id: OrphanId) -> Option<&Arc<Orphan>> {
        self.orphans.by_id.get(&id)
    }

    /// Returns the orphaned result that the worker has reported of an attempt.
    pub(crate) fn orphan_of(&self, attempt: AttemptRef, worker: &WorkerId) -> Option<&Arc<Orphan>> {
        self.orphan(*self.orphans.by_attempt.get(&(attempt, worker.clone()))?)
    }

    /// Returns the bytes that orphaned results take, by the account of [`Orphan::bytes`].
    pub(crate) const fn orphan_bytes(&self) -> u64 {
        self.orphans.bytes
    }

    pub(crate) fn orphans_are_in_step(&self) -> bool {
        let Orphans { by_id, by_attempt, bytes } = &self.orphans;
        by_id.len() == by_attempt.len()
            && *bytes == by_id.values().map(|orphan| orphan.bytes()).sum::<u64>()
            && by_id.iter().all(|(id, orphan)| {
                let place = (orphan.attempt, orphan.worker.clone());
                orphan.id == *id && by_attempt.get(&place) == Some(id)
            })
    }

    pub(crate) fn put_orphan(&mut self, orphan: Arc<Orphan>) {
        self.remove_orphan(orphan.id);
        let Orphans { by_id, by_attempt, bytes } = &mut self.orphans;
        *bytes += orphan.bytes();
        by_attempt.insert((orphan.attempt, orphan.worker.clone()), orphan.id);
        by_id.insert(orphan.id, orphan);
    }

    pub(crate) fn remove_orphan(&mut self, id: OrphanId) {
        let Orphans { by_id, by_attempt, bytes } = &mut self.orphans;
        if let Some(orphan) = by_id.remove(&id) {
            *bytes -= orphan.bytes();
            by_attempt.remove(&(orphan.attempt, orphan.worker.clone()));
        }
    }
}
