//! The most recently settled attempts: a late order must not start one of them again.

use std::collections::{BTreeMap, VecDeque};

use cluster_state::AttemptRef;

/// How many are remembered.
const SETTLED_MAX: usize = 50_000;

/// How an attempt left the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    /// The leader has its result, or knows that it is lost.
    Confirmed,
    /// Stopped, or cancelled before it came; nobody has reported an end.
    Stopped,
}

/// Settled attempts, the oldest of which are forgotten first.
#[derive(Debug, Default)]
pub(super) struct Settled {
    by_attempt: BTreeMap<AttemptRef, Settlement>,
    order: VecDeque<AttemptRef>,
}

impl Settled {
    pub(super) fn get(&self, attempt: AttemptRef) -> Option<Settlement> {
        self.by_attempt.get(&attempt).copied()
    }

    pub(super) fn put(&mut self, attempt: AttemptRef, settlement: Settlement) {
        if self.by_attempt.insert(attempt, settlement).is_none() {
            self.order.push_back(attempt);
        }
        while self.order.len() > SETTLED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.by_attempt.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::attempt_ref;

    #[test]
    fn the_memory_is_bounded() {
        let mut settled = Settled::default();
        for task in 0..SETTLED_MAX as u64 + 10 {
            settled.put(attempt_ref(task, 1), Settlement::Confirmed);
        }

        assert_eq!(settled.by_attempt.len(), SETTLED_MAX);
        assert_eq!(settled.get(attempt_ref(9, 1)), None);
        assert_eq!(settled.get(attempt_ref(10, 1)), Some(Settlement::Confirmed));
    }
}
