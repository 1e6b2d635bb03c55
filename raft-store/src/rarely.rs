//! Limits the logging of repeated events: a peer can cause the same event many times a second.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time after which an event is logged again: often enough to be found in a log, and no flood.
const AGAIN: Duration = Duration::from_secs(60);

/// Maximum number of different events that are remembered; while there are more, the others are not
/// logged.
const THINGS_MAX: usize = 64;

/// Events that were logged recently.
#[derive(Debug, Default)]
pub(crate) struct Rarely {
    said: Mutex<BTreeMap<String, Instant>>,
}

impl Rarely {
    /// Returns true if the event should be logged now, and records it as logged then.
    pub(crate) fn is_due(&self, what: &str) -> bool {
        let now = Instant::now();
        let mut said = self.said.lock();
        if said.get(what).is_some_and(|at| now.saturating_duration_since(*at) < AGAIN) {
            return false;
        }
        if said.len() >= THINGS_MAX {
            said.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        }
        if said.len() >= THINGS_MAX {
            return false;
        }

        said.insert(what.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_thing_is_said_once_a_minute() {
        let rarely = Rarely::default();
        assert!(rarely.is_due("a stranger calls"));
        assert!(!rarely.is_due("a stranger calls"));
        assert!(rarely.is_due("another stranger calls"));

        tokio::time::advance(AGAIN).await;
        assert!(rarely.is_due("a stranger calls"));
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_things_do_not_flood() {
        let rarely = Rarely::default();
        let said = (0..1_000).filter(|number| rarely.is_due(&number.to_string())).count();
        assert_eq!(said, THINGS_MAX);

        tokio::time::advance(AGAIN).await;
        assert!(rarely.is_due("a minute later"));
    }
}
