//! The pause of the duties while no quorum confirms that this master leads.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Switch of the pause: the supervisor turns it, and the duties obey it.
#[derive(Debug)]
pub(crate) struct Rest(watch::Sender<bool>);

impl Default for Rest {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

/// A pause that has begun. It lasts to the end of the term unless it is ended.
#[derive(Debug)]
pub(crate) struct Resting<'a> {
    rest: &'a Rest,
    began_at: Instant,
}

impl Rest {
    /// Begins a pause.
    pub(crate) fn begin(&self) -> Resting<'_> {
        self.0.send_replace(true);
        Resting { rest: self, began_at: Instant::now() }
    }

    /// Watches whether the duties rest.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Waits until the duties do not rest, or their term is over.
pub(crate) async fn until_over(rest: &mut watch::Receiver<bool>) {
    // An error is the end of the term, which stops the duty.
    drop(rest.wait_for(|rests| !rests).await);
}

impl Resting<'_> {
    pub(crate) fn elapsed(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// Ends the pause: the duties go on.
    pub(crate) fn end(self) {
        self.rest.0.send_replace(false);
    }
}
