//! Workers that want attempts ahead of the room for them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use cluster_state::{Limits, WorkerId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::leader::placement::Wish;

/// Time for which a wish holds: a worker that starts one attempt after another reports all the time.
const HOLDS: Duration = Duration::from_secs(1);
/// Most wishes that one pass considers: the others come next.
const PASS_MAX: usize = 512;
/// Most kinds of places that are remembered with a wish: short tasks are much alike.
const PLACES_MAX: usize = 8;

/// The latest wish of each worker for attempts that wait there.
#[derive(Debug, Default)]
pub(crate) struct Wishes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_worker: BTreeMap<WorkerId, (Wish, Instant)>,
    /// The last worker that a pass considered.
    last: Option<WorkerId>,
}

impl Wishes {
    /// Notes a wish, or that the worker has none.
    pub(crate) fn put(&self, mut wish: Wish, now: Instant) {
        wish.most = wish.most.min(Limits::NEWEST.attempts_ahead_max);
        wish.places.sort_unstable();
        wish.places.dedup();
        wish.places.truncate(PLACES_MAX);
        let mut wishes = self.0.lock();
        if wish.most == 0 || wish.places.is_empty() {
            wishes.by_worker.remove(&wish.worker);
        } else {
            wishes.by_worker.insert(wish.worker.clone(), (wish, now + HOLDS));
        }
    }

    /// Returns wishes that hold, those of other workers than the last time first, and forgets the
    /// others among those that it considers.
    pub(crate) fn take(&self, now: Instant) -> Vec<Wish> {
        let mut wishes = self.0.lock();
        let Inner { by_worker, last } = &mut *wishes;
        let after = last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let turn = by_worker.range::<WorkerId, _>((after.as_ref(), Bound::Unbounded));
        let turn = turn.chain(by_worker.iter()).take(PASS_MAX.min(by_worker.len()));
        let turn = turn.map(|(_, wish)| wish.clone()).collect::<Vec<_>>();
        if turn.len() == PASS_MAX {
            *last = turn.last().map(|(wish, _)| wish.worker.clone());
        }
        let holds = turn.into_iter().filter(|(wish, until)| {
            if *until <= now {
                by_worker.remove(&wish.worker);
            }
            *until > now
        });
        holds.map(|(wish, _)| wish).collect()
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{Epoch, Resources};

    use super::*;

    fn wish(number: usize, most: usize) -> Wish {
        let worker = format!("w{number:04}").parse().unwrap();
        Wish { worker, epoch: Epoch(1), most, places: vec![Resources::default()] }
    }

    #[test]
    fn each_worker_has_its_turn_while_its_wish_holds() {
        let wishes = Wishes::default();
        let now = Instant::now();
        for number in 0..600 {
            wishes.put(wish(number, 3), now);
        }
        wishes.put(wish(5, 0), now);

        let first = wishes.take(now);
        let second = wishes.take(now);
        assert_eq!((first.len(), second.len()), (512, 512));
        assert!(!first.contains(&wish(5, 3)) && first.contains(&wish(6, 3)));
        assert_eq!(second.first(), Some(&wish(513, 3)));
        assert_eq!(wishes.take(now + HOLDS), []);
        assert_eq!(wishes.take(now + HOLDS), []);
        assert_eq!(wishes.take(now), [], "what does not hold is forgotten");
    }

    #[test]
    fn a_worker_gets_no_more_than_may_wait_and_nothing_where_nothing_ended() {
        let wishes = Wishes::default();
        let now = Instant::now();
        wishes.put(wish(1, usize::MAX), now);
        assert_eq!(wishes.take(now), [wish(1, 256)]);
        assert_eq!(wishes.take(now), [wish(1, 256)]);
        wishes.put(Wish { places: Vec::new(), ..wish(1, 256) }, now);
        assert_eq!(wishes.take(now), []);
    }
}
