//! Bounds the time that attempts run without the leader: each acknowledgement moves two deadlines,
//! one for tasks that asked not to wait, and the lease for all.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{self, Moment};

/// Times that the leader grants with every acknowledgement, counted from the send of the
/// acknowledged message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Time that attempts may run whose tasks ask not to wait for a lost worker.
    pub(crate) disconnect: Duration,
    /// Time that any attempt may run.
    pub(crate) lease: Duration,
}

/// One of the deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// From then on, tasks that asked for it may be assigned to other workers.
    Disconnect,
    /// From then on, all tasks may be assigned to other workers.
    Lease,
}

/// The deadlines, for the tasks that wait for them. They run on while the process is frozen or the
/// machine sleeps, so a process that wakes up late finds them passed. All times are of
/// [`clock::now`].
#[derive(Debug)]
pub(crate) struct Lease {
    deadlines: watch::Sender<Deadlines>,
}

impl Default for Lease {
    fn default() -> Self {
        Self { deadlines: watch::Sender::new(Deadlines::default()) }
    }
}

impl Lease {
    /// Extends the deadlines after the leader acknowledged a message that was sent at `sent_at`.
    /// Counting from the send is safe: the leader counts from its receipt, which is later.
    pub(crate) fn renew(&self, sent_at: Moment, grant: Grant) {
        self.deadlines.send_if_modified(|deadlines| deadlines.renew(sent_at, grant));
    }

    /// Returns true if the deadline was set and has passed.
    #[must_use]
    pub(crate) fn has_passed(&self, deadline: Deadline) -> bool {
        self.deadlines.borrow().of(deadline).has_passed(clock::now())
    }

    /// Returns true at most once for each deadline that has passed; the caller that gets it must
    /// act.
    #[must_use]
    pub(crate) fn take_passed(&self, deadline: Deadline) -> bool {
        let now = clock::now();
        let mut is_taken = false;
        self.deadlines.send_if_modified(|deadlines| {
            is_taken = deadlines.of_mut(deadline).take_passed(now);
            false
        });
        is_taken
    }

    /// Waits until the deadline has passed; before the first renewal there is none.
    pub(crate) async fn passed(&self, deadline: Deadline) {
        let mut deadlines = self.deadlines.subscribe();
        loop {
            let at = deadlines.borrow_and_update().of(deadline).at;
            let passed = async {
                match at {
                    Some(at) => clock::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                // `self` holds the sender, so the channel stays open.
                _ = deadlines.changed() => {}
            }
        }
    }

    /// Waits until the deadline lies ahead again.
    pub(crate) async fn renewed(&self, deadline: Deadline) {
        let mut deadlines = self.deadlines.subscribe();
        while self.has_passed(deadline) {
            if deadlines.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Both deadlines; the time is an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Deadlines {
    disconnect: DeadlineState,
    lease: DeadlineState,
}

/// Time of one deadline, and whether it has been acted on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct DeadlineState {
    at: Option<Moment>,
    is_met: bool,
}

impl Deadlines {
    /// Extends the deadlines, and returns true if one moved: a late answer moves none back.
    fn renew(&mut self, sent_at: Moment, grant: Grant) -> bool {
        let lease = self.lease.move_to(sent_at.after(grant.lease));
        self.disconnect.move_to(sent_at.after(grant.disconnect)) || lease
    }

    const fn of(&self, deadline: Deadline) -> DeadlineState {
        match deadline {
            Deadline::Disconnect => self.disconnect,
            Deadline::Lease => self.lease,
        }
    }

    const fn of_mut(&mut self, deadline: Deadline) -> &mut DeadlineState {
        match deadline {
            Deadline::Disconnect => &mut self.disconnect,
            Deadline::Lease => &mut self.lease,
        }
    }
}

impl DeadlineState {
    fn move_to(&mut self, at: Moment) -> bool {
        let is_later = self.at.is_none_or(|current| at > current);
        if is_later {
            *self = Self { at: Some(at), is_met: false };
        }
        is_later
    }

    fn has_passed(&self, now: Moment) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    fn take_passed(&mut self, now: Moment) -> bool {
        let is_taken = self.has_passed(now) && !self.is_met;
        self.is_met |= is_taken;
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::clock::tests::suspend;

    const GRANT: Grant =
        Grant { disconnect: Duration::from_secs(30), lease: Duration::from_secs(300) };

    #[tokio::test(start_paused = true)]
    async fn each_deadline_passes_that_long_after_the_send() {
        let lease = Lease::default();
        let sent_at = Instant::now();
        let sent = clock::now();
        tokio::time::advance(Duration::from_secs(10)).await;
        lease.renew(sent, GRANT);

        lease.passed(Deadline::Disconnect).await;
        assert_eq!(sent_at.elapsed().as_secs(), GRANT.disconnect.as_secs());
        assert!(lease.has_passed(Deadline::Disconnect) && !lease.has_passed(Deadline::Lease));

        lease.passed(Deadline::Lease).await;
        assert_eq!(sent_at.elapsed().as_secs(), GRANT.lease.as_secs());
        assert!(lease.has_passed(Deadline::Lease));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_moves_the_end_and_a_late_answer_does_not_move_it_back() {
        let lease = Lease::default();
        let first = Instant::now();
        let first_sent = clock::now();
        lease.renew(first_sent, GRANT);
        tokio::time::advance(Duration::from_secs(100)).await;
        lease.renew(clock::now(), GRANT);
        lease.renew(first_sent, GRANT);

        lease.passed(Deadline::Lease).await;

        assert_eq!(first.elapsed().as_secs(), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_held_does_not_lapse() {
        let lease = Lease::default();
        let passed = lease.passed(Deadline::Lease);
        assert!(tokio::time::timeout(GRANT.lease * 10, passed).await.is_err());
        assert!(!lease.has_passed(Deadline::Lease) && !lease.take_passed(Deadline::Lease));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lapse_it_can_be_held_again() {
        let lease = Lease::default();
        lease.renew(clock::now(), GRANT);
        lease.passed(Deadline::Lease).await;
        let renewed = lease.renewed(Deadline::Lease);
        let waited = tokio::time::timeout(GRANT.lease, renewed).await;
        assert!(waited.is_err(), "nobody renewed it");

        lease.renew(clock::now(), GRANT);

        lease.renewed(Deadline::Lease).await;
        assert!(!lease.has_passed(Deadline::Lease));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_while_the_machine_sleeps() {
        let lease = Lease::default();
        lease.renew(clock::now(), GRANT);
        let woken_at = Instant::now();
        suspend(Duration::from_secs(1_200));
        assert!(lease.take_passed(Deadline::Lease), "whoever looks finds it passed");

        lease.passed(Deadline::Lease).await;
        assert!(woken_at.elapsed() <= Duration::from_secs(1));

        lease.renew(clock::now(), GRANT);
        assert!(!lease.has_passed(Deadline::Lease));
    }

    #[test]
    fn a_passed_deadline_is_acted_on_once() {
        let start = clock::now();
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut deadlines = Deadlines::default();
        assert!(deadlines.renew(start, GRANT));

        assert!(!deadlines.lease.take_passed(at(299)));
        assert!(deadlines.lease.take_passed(at(300)));
        assert!(!deadlines.lease.take_passed(at(301)), "somebody has acted on it");
        assert!(!deadlines.renew(start, GRANT), "a repeated answer is no renewal");
        assert!(!deadlines.lease.take_passed(at(302)));

        assert!(deadlines.renew(at(310), GRANT));
        assert!(!deadlines.lease.take_passed(at(609)));
        assert!(deadlines.lease.take_passed(at(610)));
    }
}
