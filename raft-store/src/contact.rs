//! Records when this master last heard a leader, and whether the leader's connection has broken.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Contact with the leader, recorded by the service that leaders call.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    heard_at: Mutex<Option<Instant>>,
    broken: Notify,
}

impl Contact {
    /// Records a message of a leader.
    pub(crate) fn on_heard(&self) {
        *self.heard_at.lock() = Some(Instant::now());
    }

    /// Records the end of a leader's stream.
    pub(crate) fn on_broken(&self) {
        self.broken.notify_one();
    }

    /// Returns the time when a leader was last heard.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        *self.heard_at.lock()
    }

    /// Returns true if a leader was heard once, but not for `patience`.
    pub(crate) fn is_silent(&self, patience: Duration) -> bool {
        self.heard_at().is_some_and(|heard_at| heard_at.elapsed() > patience)
    }

    /// Waits until a leader's stream ends.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }
}
