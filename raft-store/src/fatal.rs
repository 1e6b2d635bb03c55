//! The word that storage has failed and the process must stop.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells its owner that a write or sync has failed. What is in memory may then differ from what
/// is on disk, so nothing may be retried: the process is to abort.
#[derive(Debug, Clone)]
pub struct Fatal {
    reason: watch::Sender<Option<Arc<str>>>,
}

impl Default for Fatal {
    fn default() -> Self {
        Self { reason: watch::Sender::new(None) }
    }
}

impl Fatal {
    /// Why storage has failed, once it has.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.reason.borrow().clone()
    }

    /// Waits until storage has failed and says why.
    pub async fn raised(&self) -> Arc<str> {
        let mut reason = self.reason.subscribe();
        loop {
            let raised = reason.borrow_and_update().clone();
            if let Some(raised) = raised {
                return raised;
            }
            // Cannot fail: this handle holds a sender.
            reason.changed().await.ok();
        }
    }

    /// Keeps the first reason: later ones only follow from it.
    pub(crate) fn raise(&self, why: &str) {
        let is_first = self.reason.send_if_modified(|reason| {
            let is_first = reason.is_none();
            if is_first {
                *reason = Some(why.into());
            }
            is_first
        });
        if is_first {
            tracing::error!(error = why, "storage has failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let fatal = Fatal::default();

        fatal.raise("disk full");
        fatal.raise("later");

        assert_eq!(&*fatal.raised().await, "disk full");
    }
}
