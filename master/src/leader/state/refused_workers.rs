//! Workers whose registration was refused in this term.

use std::collections::BTreeSet;

use cluster_state::WorkerId;
use parking_lot::Mutex;

/// Names kept. Refusals beyond that are only counted, because anybody can register under any name.
const NAMES_MAX: usize = 1_000;

/// The workers that were refused in this term, so that each is logged once.
#[derive(Debug, Default)]
pub(crate) struct RefusedWorkers(Mutex<BTreeSet<WorkerId>>);

impl RefusedWorkers {
    /// Notes a refusal. Returns whether it is worth a line in the log.
    pub(crate) fn is_news(&self, worker: &WorkerId) -> bool {
        let mut known = self.0.lock();
        known.len() < NAMES_MAX && known.insert(worker.clone())
    }

    /// Forgets a worker that was admitted: its next refusal is worth a line again.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.0.lock().remove(worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_news_once_and_their_number_is_bounded() {
        let id = |name: &str| name.parse::<WorkerId>().unwrap();
        let refused = RefusedWorkers::default();
        assert!(refused.is_news(&id("w0")) && !refused.is_news(&id("w0")));
        refused.forget(&id("w0"));
        assert!(refused.is_news(&id("w0")));
        for number in 1..NAMES_MAX {
            assert!(refused.is_news(&id(&format!("w{number}"))));
        }
        assert!(!refused.is_news(&id("one-more")));
    }
}
