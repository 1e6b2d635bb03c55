//! Bound on the fresh reads for tokens that this master does not know: tokens that somebody has made
//! up must not keep the leader busy. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Fresh reads in one second.
const READS_PER_SECOND: u32 = 10;
/// Window in which they are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Number of fresh reads in the present window.
#[derive(Debug, Default)]
pub(super) struct FreshReads {
    since: Option<Instant>,
    reads: u32,
}

impl FreshReads {
    /// Counts a read, and returns true unless there are too many.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let is_over = self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW);
        if is_over {
            *self = Self { since: Some(now), reads: 0 };
        }
        self.reads = self.reads.saturating_add(1);
        self.reads <= READS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_room_for_a_few_reads() {
        let (mut reads, now) = (FreshReads::default(), Instant::now());
        let admitted = (0..100).filter(|_| reads.admits(now)).count();
        assert_eq!(admitted, 10);
        assert!(reads.admits(now + WINDOW));
    }
}
