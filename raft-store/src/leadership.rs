//! Tells who leads, as far as this master may believe it.
//!
//! Raft alone lets a leader that was cut off believe in itself until it hears of another. Here a
//! leader leads only while a quorum has answered it within the election timeout and its own disk
//! keeps up, so a leader that wakes up late finds that it has stopped leading.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{MasterId, Term};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acks::Acks;
use crate::contact::Contact;
use crate::fatal::Fatal;
use crate::hand_over::HandOver;
use crate::log_node::NodeId;
use crate::log_store::LogStore;
use crate::raft::Raft;
use crate::room::Room;

/// Leadership as seen from one master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leadership {
    /// This master leads, and a quorum has confirmed it within the election timeout.
    Leading { term: Term },
    /// Another master leads.
    Following {
        /// Its name.
        leader: MasterId,
        /// Its log.
        node: NodeId,
        term: Term,
    },
    /// No leader is known.
    Leaderless {
        /// Newest term seen.
        term: Term,
    },
}

impl Leadership {
    /// Returns the newest term seen.
    #[must_use]
    pub const fn term(&self) -> Term {
        match self {
            Self::Leading { term } | Self::Following { term, .. } | Self::Leaderless { term } => {
                *term
            }
        }
    }

    /// Returns the leader, if one is known; `me` is the master that sees it so.
    #[must_use]
    pub const fn leader(&self, me: MasterId) -> Option<MasterId> {
        match self {
            Self::Leading { .. } => Some(me),
            Self::Following { leader, .. } => Some(*leader),
            Self::Leaderless { .. } => None,
        }
    }

    /// Returns the log of the leader, if one is known; `me` is the log of the master that sees it
    /// so.
    #[must_use]
    pub const fn leader_node(&self, me: NodeId) -> Option<NodeId> {
        match self {
            Self::Leading { .. } => Some(me),
            Self::Following { node, .. } => Some(*node),
            Self::Leaderless { .. } => None,
        }
    }

    /// Returns true if this master leads.
    #[must_use]
    pub const fn is_leading(&self) -> bool {
        matches!(self, Self::Leading { .. })
    }
}

/// Time for which a leader may go without proof that it still leads.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Since the last answer of a quorum: the lease that followers grant a leader.
    pub quorum: Duration,
    /// Duration of one sync of the log after which the leader hands over.
    pub fsync: Duration,
    /// Duration of one sync of the log after which the process ends: a disk that hangs will not
    /// come back to this process.
    pub fsync_fatal: Duration,
}

/// Silence, of several elections, after which commands are no longer forwarded to a leader.
const LEADER_SILENCE: Duration = Duration::from_secs(2);

/// Rest after a leader has handed over for its disk: without a lease for so long, it should not try often.
const EVASION_REST: Duration = Duration::from_secs(60);

/// Interval between checks of ages: a tenth of the shortest recommended patience.
const CHECK_INTERVAL: Duration = Duration::from_millis(25);

/// Watches Raft and the disk and publishes the leadership.
pub(crate) struct Watcher {
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) contact: Arc<Contact>,
    pub(crate) acks: Arc<Acks>,
    pub(crate) hand_over: HandOver,
    pub(crate) room: Room,
    pub(crate) tasks: TaskTracker,
    pub(crate) fatal: Fatal,
    pub(crate) patience: Patience,
    pub(crate) published: watch::Sender<Leadership>,
}

impl Watcher {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut server = self.raft.server_metrics();
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_handing_over = false;
        let mut evaded_at = None;
        loop {
            let seen = self.current();
            self.published.send_if_modified(|last| std::mem::replace(last, seen) != seen);

            let fsync_age = self.log.fsync_age();
            if fsync_age > self.patience.fsync_fatal {
                return self.fatal.raise(&format!("the disk hangs: one sync takes {fsync_age:?}"));
            }
            let is_too_slow = fsync_age > self.patience.fsync && seen.is_leading();
            if is_too_slow && !is_handing_over {
                tracing::warn!(?fsync_age, "the disk is slow: handing leadership over");
                // In a task of its own, because this loop must watch the disk.
                let hand_over = self.hand_over.clone();
                self.tasks.spawn(async move { hand_over.to_the_best(seen.term()).await });
            }
            is_handing_over = is_too_slow;
            if evaded_at.is_none_or(|at: Instant| at.elapsed() > EVASION_REST)
                && self.evades_its_full_disk(seen)
            {
                evaded_at = Some(Instant::now());
            }

            tokio::select! {
                () = stop.cancelled() => return,
                _ = check.tick() => {}
                changed = server.changed() => if changed.is_err() { return self.on_ended(&stop) },
            }
        }
    }

    /// Begins to hand over if this master leads, its disk is nearly full, and another voter has room.
    fn evades_its_full_disk(&self, seen: Leadership) -> bool {
        let Leadership::Leading { term } = seen else { return false };
        let Some(successor) = self.room.roomier_voter(term) else { return false };
        tracing::warn!(%successor, "the disk is nearly full: handing leadership over");
        let hand_over = self.hand_over.clone();
        self.tasks.spawn(async move { hand_over.to(successor, term).await });
        true
    }

    /// Handles the end of Raft without a stop: a process without it must not look alive.
    fn on_ended(&self, stop: &CancellationToken) {
        if stop.is_cancelled() {
            return;
        }
        let state = self.raft.metrics().borrow_watched().running_state.clone();
        let why =
            state.err().map_or_else(|| "no reason given".to_owned(), |error| error.to_string());
        self.fatal.raise(&format!("replication has ended: {why}"));
    }

    fn current(&self) -> Leadership {
        // Computed before the metrics are borrowed: it borrows them itself, and a second borrow
        // waits behind a writer that waits for the first.
        let holds_lease = holds_lease(&self.raft, &self.acks, self.patience.quorum);
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let term = Term(metrics.vote.leader_id.term);
        let me = metrics.id;

        match metrics.current_leader {
            // A follower that votes for nobody keeps naming a leader that is long dead.
            Some(leader) if leader != me && self.contact.is_silent(LEADER_SILENCE) => {
                Leadership::Leaderless { term }
            }
            Some(node) if node != me => {
                let membership = metrics.membership_config.membership();
                match membership.get_node(&node) {
                    Some(leader) => {
                        Leadership::Following { leader: leader.name_or(node), node, term }
                    }
                    // This master has not been told who it is.
                    None => Leadership::Leaderless { term },
                }
            }
            Some(_) if metrics.state == ServerState::Leader && holds_lease => {
                Leadership::Leading { term }
            }
            Some(_) | None => Leadership::Leaderless { term },
        }
    }
}

/// Returns the term in which this master leads, as far as Raft knows.
pub(crate) fn leading_term(raft: &Raft) -> Option<Term> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let leads = metrics.state == ServerState::Leader;
    leads.then_some(Term(metrics.vote.leader_id.term))
}

/// Returns true if a quorum has answered this leader so recently that no other can have been
/// elected: the answered message was sent within the time for which followers refuse to elect
/// another.
pub(crate) fn holds_lease(raft: &Raft, acks: &Acks, quorum: Duration) -> bool {
    let is_fresh = |age: Option<Duration>| age.is_some_and(|age| age < quorum);
    let confirmed = || confirmed_age(raft, acks, leading_term(raft)?);
    is_fresh(crate::membership::quorum_age(raft)) && is_fresh(confirmed())
}

/// Returns the age of the latest request of `term` that a quorum has answered.
pub(crate) fn confirmed_age(raft: &Raft, acks: &Acks, term: Term) -> Option<Duration> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let voters = metrics.membership_config.membership().get_joint_config();
    acks.quorum_age(metrics.id, term.0, voters, Instant::now())
}
