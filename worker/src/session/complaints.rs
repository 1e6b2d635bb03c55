//! Limits the logging of repeated failures in an outage: each is logged when it is new, and once a
//! minute while it lasts.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

/// Interval between log lines about the same failure.
const AGAIN: Duration = Duration::from_mins(1);
/// Maximum number of different failures remembered: a few masters, each with its own.
const KINDS_MAX: usize = 32;

/// Failures that were logged since the last success.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told_at: BTreeMap<String, Instant>,
    failures: u64,
}

impl Complaints {
    /// Returns the number of failures so far if this one should be logged.
    pub(super) fn record(&mut self, reason: &str, now: Instant) -> Option<u64> {
        self.failures += 1;
        self.told_at.retain(|_, told_at| now.duration_since(*told_at) < AGAIN);
        if self.told_at.contains_key(reason) || self.told_at.len() >= KINDS_MAX {
            return None;
        }
        self.told_at.insert(reason.to_owned(), now);
        Some(self.failures)
    }

    /// Returns true if nothing has failed since the last success.
    pub(super) const fn is_empty(&self) -> bool {
        self.failures == 0
    }

    /// Forgets the failures after a success.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Returns the text of an error with those of its causes that it does not repeat itself.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_when_it_is_new_and_once_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut complaints = Complaints::default();
        assert!(complaints.is_empty());
        assert_eq!(complaints.record("gone", at(0)), Some(1));
        assert_eq!(complaints.record("gone", at(1)), None);
        assert_eq!(complaints.record("refused", at(2)), Some(3), "it is another");
        assert_eq!(complaints.record("gone", at(3)), None, "they take turns");
        assert_eq!(complaints.record("gone", at(60)), Some(5));
        assert_eq!(complaints.record("gone", at(119)), None);

        complaints.clear();
        assert!(complaints.is_empty());
        assert_eq!(complaints.record("gone", at(120)), Some(1));
    }

    #[test]
    fn failures_of_endless_kinds_are_not_a_flood() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        let told = (0..1_000).filter(|n| complaints.record(&format!("{n}"), now).is_some());
        assert_eq!(told.count(), KINDS_MAX);
    }

    #[test]
    fn causes_are_told_once() {
        let cause = std::io::Error::other("no space");
        let error = crate::agent::AgentError::Spool(cause);
        assert_eq!(with_causes(&error), "cannot open the spool: no space");
    }
}
