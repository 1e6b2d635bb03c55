//! Workers that want attempts ahead of the room for them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use cluster_state::{Limits, WorkerId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Time for which a wish holds: a worker that starts one attempt after another reports all the time.
const HOLDS: Duration = Duration::from_secs(1);
/// Most wishes that one pass considers: the others come next.
const PASS_MAX: usize = 512;

/// The latest wish of each worker for attempts that wait there.
#[derive(Debug, Default)]
pub(crate) struct Wishes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_worker: BTreeMap<WorkerId, Wish>,
    /// The last worker that a pass considered.
    last: Option<WorkerId>,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    attempts: usize,
    until: Instant,
}

impl Wishes {
    /// Notes the number of attempts that a worker wants to have waiting.
    pub(crate) fn put(&self, worker: &WorkerId, attempts: u32, now: Instant) {
        let most = Limits::NEWEST.attempts_ahead_max;
        let attempts = usize::try_from(attempts).unwrap_or(most).min(most);
        let mut wishes = self.0.lock();
        if attempts == 0 {
            wishes.by_worker.remove(worker);
        } else {
            wishes.by_worker.insert(worker.clone(), Wish { attempts, until: now + HOLDS });
        }
    }

    /// Returns wishes that hold, those of other workers than the last time first, and forgets the
    /// others among those that it considers.
    pub(crate) fn take(&self, now: Instant) -> Vec<(WorkerId, usize)> {
        let mut wishes = self.0.lock();
        let Inner { by_worker, last } = &mut *wishes;
        let after = last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let turn = by_worker.range::<WorkerId, _>((after.as_ref(), Bound::Unbounded));
        let turn = turn.chain(by_worker.iter()).take(PASS_MAX.min(by_worker.len()));
        let turn = turn.map(|(worker, wish)| (worker.clone(), *wish)).collect::<Vec<_>>();
        if turn.len() == PASS_MAX {
            *last = turn.last().map(|(worker, _)| worker.clone());
        }
        let holds = turn.into_iter().filter(|(worker, wish)| {
            if wish.until <= now {
                by_worker.remove(worker);
            }
            wish.until > now
        });
        holds.map(|(worker, wish)| (worker, wish.attempts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_its_turn_while_its_wish_holds() {
        let wishes = Wishes::default();
        let now = Instant::now();
        let worker = |number: usize| format!("w{number:04}").parse::<WorkerId>().unwrap();
        for number in 0..600 {
            wishes.put(&worker(number), 3, now);
        }
        wishes.put(&worker(5), 0, now);

        let first = wishes.take(now);
        let second = wishes.take(now);
        assert_eq!((first.len(), second.len()), (512, 512));
        assert!(first.iter().all(|(name, most)| *name != worker(5) && *most == 3));
        assert_eq!(second.first(), Some(&(worker(513), 3)));
        assert_eq!(wishes.take(now + HOLDS), []);
        assert_eq!(wishes.take(now + HOLDS), []);
        assert_eq!(wishes.take(now), [], "what does not hold is forgotten");
    }

    #[test]
    fn a_worker_gets_no_more_than_may_wait() {
        let wishes = Wishes::default();
        let now = Instant::now();
        let worker = "w1".parse::<WorkerId>().unwrap();
        wishes.put(&worker, u32::MAX, now);
        wishes.put(&worker, 300, now);
        assert_eq!(wishes.take(now), [(worker.clone(), 256)]);
        assert_eq!(wishes.take(now), [(worker, 256)]);
    }
}
