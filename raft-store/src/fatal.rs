//! Signals that a master cannot go on and its process must end.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Ends the process for the given reason.
pub type Ending = Arc<dyn Fn(&str) + Send + Sync>;

/// Signals the end of a part without which a master is only half alive: a write, sync or read has
/// failed, or a loop has ended. Memory may differ from the disk, so nothing may be retried.
#[derive(Debug, Clone, Default)]
pub struct Fatal {
    raised: watch::Sender<Raised>,
}

#[derive(Default)]
struct Raised {
    reason: Option<Arc<str>>,
    ending: Option<Ending>,
}

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raised").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Fatal {
    /// Returns the reason that this master cannot go on, if there is one.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.raised.borrow().reason.clone()
    }

    /// Waits until there is a reason, and returns it.
    pub async fn raised(&self) -> Arc<str> {
        let mut raised = self.raised.subscribe();
        loop {
            let reason = raised.borrow_and_update().reason.clone();
            if let Some(reason) = reason {
                return reason;
            }
            // Cannot fail: this handle holds a sender.
            raised.changed().await.ok();
        }
    }

    /// Makes the first call of [`Self::raise`] end the process before it returns; immediately if it
    /// was called already. The process is ended once.
    pub fn end_by(&self, ending: &Ending) {
        let mut reason = None;
        self.raised.send_if_modified(|raised| {
            reason = raised.reason.clone();
            raised.ending = Some(Arc::clone(ending));
            false
        });
        if let Some(reason) = reason {
            ending(&reason);
        }
    }

    /// Records the first reason: later ones only follow from it.
    pub fn raise(&self, why: &str) {
        let mut ending = None;
        self.raised.send_if_modified(|raised| {
            let is_first = raised.reason.is_none();
            if is_first {
                raised.reason = Some(why.into());
                ending = raised.ending.clone();
            }
            is_first
        });
        if let Some(ending) = ending {
            ending(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let fatal = Fatal::default();

        fatal.raise("disk full");
        fatal.raise("later");

        assert_eq!(&*fatal.raised().await, "disk full");
    }

    #[test]
    fn the_process_is_ended_once_by_whoever_raises_the_word() {
        for is_raised_before in [false, true] {
            let fatal = Fatal::default();
            let ended = Arc::new(Mutex::new(Vec::new()));
            let why = Arc::clone(&ended);
            let ending: Ending = Arc::new(move |reason| why.lock().push(reason.to_owned()));
            if is_raised_before {
                fatal.raise("disk full");
                fatal.end_by(&ending);
            } else {
                fatal.end_by(&ending);
                assert!(ended.lock().is_empty());
                fatal.raise("disk full");
            }
            assert_eq!(*ended.lock(), ["disk full"]);

            fatal.raise("later");
            assert_eq!(*ended.lock(), ["disk full"]);
        }
    }
}
