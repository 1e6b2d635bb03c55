//! Chooses the next master to ask: the leader if it is known, or else the configured ones in turn.
//! Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Time for which a leader that failed is not believed to lead, whatever other masters say: they
/// notice its death only after an election timeout.
const SHUN: Duration = Duration::from_secs(1);

/// Masters that a client knows.
#[derive(Debug)]
pub(super) struct Targets {
    configured: Vec<String>,
    /// Position in `configured` while no leader is known.
    next: usize,
    leader: Option<String>,
    shunned: Option<(String, Instant)>,
}

impl Targets {
    /// Creates the list; none when it is empty.
    pub(super) fn new(configured: Vec<String>) -> Option<Self> {
        if configured.is_empty() {
            return None;
        }
        Some(Self { configured, next: 0, leader: None, shunned: None })
    }

    pub(super) fn current(&self) -> &str {
        let configured = self.configured.get(self.next).or(self.configured.first());
        self.leader.as_ref().or(configured).map_or("", String::as_str)
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.configured.len()).unwrap_or(u32::MAX).max(1)
    }

    pub(super) fn contains(&self, address: &str) -> bool {
        self.leader.as_deref() == Some(address) || self.configured.iter().any(|a| a == address)
    }

    pub(super) fn on_leader(&mut self, address: &str, now: Instant) {
        let is_shunned = self
            .shunned
            .as_ref()
            .is_some_and(|(shunned, since)| shunned == address && now < *since + SHUN);
        if !is_shunned && self.current() != address {
            self.leader = Some(address.to_owned());
        }
    }

    pub(super) fn on_failed(&mut self, address: &str, now: Instant) {
        // A concurrent call may have moved on already.
        if self.current() != address {
            return;
        }
        self.shunned = Some((address.to_owned(), now));
        self.leader = None;
        let failed = self.configured.get(self.next).is_some_and(|next| next == address);
        if failed {
            self.next = (self.next + 1) % self.configured.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Targets {
        Targets::new(["a", "b", "c"].map(str::to_owned).to_vec()).unwrap()
    }

    #[test]
    fn endpoints_take_turns_when_they_fail() {
        let now = Instant::now();
        let mut targets = targets();
        for address in ["a", "b", "c", "a"] {
            assert_eq!(targets.current(), address);
            targets.on_failed(address, now);
        }
    }

    #[test]
    fn the_leader_is_asked_until_it_fails() {
        let now = Instant::now();
        let mut targets = targets();
        targets.on_leader("elsewhere", now);
        assert_eq!(targets.current(), "elsewhere");
        assert!(targets.contains("elsewhere"));

        targets.on_failed("elsewhere", now);
        assert_eq!(targets.current(), "a");
        assert!(!targets.contains("elsewhere"));
    }

    #[test]
    fn a_leader_that_just_failed_is_not_believed_to_lead() {
        let now = Instant::now();
        let mut targets = targets();
        targets.on_leader("c", now);
        targets.on_failed("c", now);

        targets.on_leader("c", now + SHUN / 2);
        assert_eq!(targets.current(), "a");
        targets.on_leader("c", now + SHUN);
        assert_eq!(targets.current(), "c");
    }

    #[test]
    fn a_failure_is_counted_once_for_calls_side_by_side() {
        let now = Instant::now();
        let mut targets = targets();
        targets.on_failed("a", now);
        targets.on_failed("a", now);
        assert_eq!(targets.current(), "b");
    }
}
