//! Whether the duties rest, because no quorum confirms at the moment that this master leads.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Told by the supervisor, asked by the duties.
#[derive(Debug)]
pub(crate) struct Rest(watch::Sender<bool>);

impl Default for Rest {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

/// A rest under way. It lasts to the end of the term unless it is ended.
#[derive(Debug)]
pub(super) struct Resting<'a> {
    rest: &'a Rest,
    began_at: Instant,
}

impl Rest {
    pub(super) fn begin(&self) -> Resting<'_> {
        self.0.send_replace(true);
        Resting { rest: self, began_at: Instant::now() }
    }

    /// Follows whether the duties rest.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Returns when the duties do not rest, or their term is over.
pub(super) async fn until_over(rest: &mut watch::Receiver<bool>) {
    // An error is the end of the term, which stops the duty.
    drop(rest.wait_for(|rests| !rests).await);
}

impl Resting<'_> {
    pub(super) fn elapsed(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// The duties go on.
    pub(super) fn end(self) {
        self.rest.0.send_replace(false);
    }
}
