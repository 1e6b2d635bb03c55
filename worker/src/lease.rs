//! The right to keep attempts running: it lapses unless the leader goes on acknowledging.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// When the right ends.
#[derive(Debug)]
pub(crate) struct Lease {
    ends_at: watch::Sender<Option<Instant>>,
}

impl Default for Lease {
    fn default() -> Self {
        Self { ends_at: watch::Sender::new(None) }
    }
}

impl Lease {
    /// The leader acknowledged what was sent at `sent_at`. Counting from the send is safe: the
    /// leader counts from when it received it, which is later.
    pub(crate) fn renew(&self, sent_at: Instant, length: Duration) {
        let ends_at = sent_at + length;
        self.ends_at.send_if_modified(|current| {
            let is_later = current.is_none_or(|current| ends_at > current);
            if is_later {
                *current = Some(ends_at);
            }
            is_later
        });
    }

    /// Whether it was held and has ended.
    #[must_use]
    pub(crate) fn has_lapsed(&self) -> bool {
        self.ends_at.borrow().is_some_and(|ends_at| ends_at <= Instant::now())
    }

    /// Returns once it has ended; before the first renewal there is nothing to end.
    pub(crate) async fn lapsed(&self) {
        let mut ends_at = self.ends_at.subscribe();
        loop {
            let current = *ends_at.borrow_and_update();
            let ended = async {
                match current {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended => return,
                // `self` holds the sender, so the channel stays open.
                _ = ends_at.changed() => {}
            }
        }
    }

    /// Returns once it is held again after it has lapsed.
    pub(crate) async fn renewed(&self) {
        let mut ends_at = self.ends_at.subscribe();
        while self.has_lapsed() {
            if ends_at.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn it_lapses_so_long_after_the_send_of_what_was_acknowledged() {
        let lease = Lease::default();
        let sent_at = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        lease.renew(sent_at, LENGTH);

        lease.lapsed().await;

        assert_eq!(sent_at.elapsed().as_secs(), LENGTH.as_secs());
        assert!(lease.has_lapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_moves_the_end_and_a_late_answer_does_not_move_it_back() {
        let lease = Lease::default();
        let first = Instant::now();
        lease.renew(first, LENGTH);
        tokio::time::advance(Duration::from_secs(100)).await;
        lease.renew(Instant::now(), LENGTH);
        lease.renew(first, LENGTH);

        lease.lapsed().await;

        assert_eq!(first.elapsed().as_secs(), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_held_does_not_lapse() {
        let lease = Lease::default();
        let waited = tokio::time::timeout(LENGTH * 10, lease.lapsed()).await;
        assert!(waited.is_err() && !lease.has_lapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lapse_it_can_be_held_again() {
        let lease = Lease::default();
        lease.renew(Instant::now(), LENGTH);
        lease.lapsed().await;
        let waited = tokio::time::timeout(LENGTH, lease.renewed()).await;
        assert!(waited.is_err(), "nobody renewed it");

        lease.renew(Instant::now(), LENGTH);

        lease.renewed().await;
        assert!(!lease.has_lapsed());
    }
}
