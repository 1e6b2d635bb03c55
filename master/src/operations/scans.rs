//! Requests that look through all tasks or all of the queue: each takes much time of a thread.

use std::time::Duration;

use proto::problem::{ErrorKind, Problem};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Such requests at once.
const SCANS_MAX: usize = 8;
/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// The places there are for them.
#[derive(Debug)]
pub(super) struct Scans(Semaphore);

impl Default for Scans {
    fn default() -> Self {
        Self(Semaphore::new(SCANS_MAX))
    }
}

impl Scans {
    /// Waits for a place, which is given back when it is dropped.
    pub(super) async fn begin(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let place = tokio::time::timeout(PATIENCE, self.0.acquire()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| {
            let detail = "too many requests look through all tasks or classes";
            Problem::new(ErrorKind::Overloaded, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::try_join_all;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_search_waits_a_moment_for_its_turn_and_is_then_refused() {
        let scans = Scans::default();
        let mut under_way = try_join_all((0..SCANS_MAX).map(|_| scans.begin())).await.unwrap();

        let asked_at = Instant::now();
        let refused = scans.begin().await.unwrap_err();
        assert_eq!((refused.kind, asked_at.elapsed()), (ErrorKind::Overloaded, PATIENCE));

        let (waited, ()) = tokio::join!(scans.begin(), async {
            tokio::task::yield_now().await;
            under_way.pop();
        });
        assert!(waited.is_ok(), "it waits for a place that is given back");
    }
}
