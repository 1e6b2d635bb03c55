//! Records when this master last heard a leader, and whether the leader's connection has broken.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Contact with the leader, recorded by the service that leaders call.
#[derive(Debug)]
pub(crate) struct Contact {
    /// From when on silence counts: a leader may be long gone when this master starts.
    since: Instant,
    heard_at: Mutex<Option<Instant>>,
    broken: Notify,
}

impl Default for Contact {
    fn default() -> Self {
        Self { since: Instant::now(), heard_at: Mutex::default(), broken: Notify::new() }
    }
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

    /// Returns true if no leader was heard for `patience`.
    pub(crate) fn is_silent(&self, patience: Duration) -> bool {
        self.heard_at().unwrap_or(self.since).elapsed() > patience
    }

    /// Waits until a leader's stream ends.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }
}
