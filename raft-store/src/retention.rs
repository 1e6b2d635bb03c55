//! Keeps the log within its bounds: requests snapshots, purges the entries that they cover, and
//! sends a snapshot to members that the log is no longer kept for.

mod policy;

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::policy::{Cut, Follower, Positions, Turn};
pub use self::policy::{LogBounds, LogExtent};
use crate::disk_space::DiskSpace;
use crate::log_node::NodeId;
use crate::log_store::LogStore;
use crate::network::outgoing::Outgoing;
use crate::raft::Raft;
use crate::rarely::Rarely;

/// Interval between checks of the log. Entries written in the meantime come on top of its bounds.
const PASS_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps this master's log within its bounds.
pub(crate) struct Retention {
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) space: DiskSpace,
    pub(crate) bounds: LogBounds,
    /// Free space on the disk below which nothing is held for followers.
    pub(crate) disk_free_min: u64,
    /// Last entry that Raft was asked to purge.
    asked: Option<u64>,
    said: Rarely,
}

/// Use of the log by this master and its followers.
struct LogUse {
    at: Positions,
    turn: Turn,
    /// Empty unless it leads.
    followers: Vec<Follower>,
}

impl Retention {
    pub(crate) fn new(
        raft: Raft,
        log: LogStore,
        outgoing: Arc<Outgoing>,
        (space, disk_free_min): (DiskSpace, u64),
        bounds: LogBounds,
    ) -> Self {
        let (asked, said) = (None, Rarely::default());
        Self { raft, log, outgoing, space, bounds, disk_free_min, asked, said }
    }

    /// Runs pass after pass.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut passes = tokio::time::interval(PASS_INTERVAL);
        passes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = passes.tick() => {}
            }
            // It fails when Raft has ended, which ends the node.
            self.pass().await.ok();
        }
    }

    async fn pass(&mut self) -> Result<(), openraft::errors::Fatal<crate::types::TypeConfig>> {
        let LogUse { at, turn, followers } = self.log_use();
        let bounds = self.bounds_of_now();
        let (is_due, cut) = self.log.with_volume(|volume| {
            let is_due = policy::is_snapshot_due(&at, volume, &bounds, turn);
            (is_due, policy::cut(&at, volume, &bounds, &followers))
        });

        if is_due {
            self.raft.trigger().snapshot().await?;
        }
        let Cut { upto, left_behind } = cut;
        if upto > self.asked
            && let Some(upto) = upto
        {
            // Raft delays the purge until no stream needs the entries.
            self.raft.trigger().purge_log(upto).await?;
            self.asked = Some(upto);
        }
        for peer in left_behind {
            self.leave_behind(peer);
        }
        Ok(())
    }

    fn bounds_of_now(&self) -> LogBounds {
        let is_tight = self.space.free_bytes().is_some_and(|free| free < self.disk_free_min);
        let held_bytes = if is_tight { 0 } else { self.bounds.held_bytes };
        LogBounds { held_bytes, ..self.bounds }
    }

    fn leave_behind(&self, peer: NodeId) {
        if self.outgoing.end(peer) && self.said.is_due(&peer.to_string()) {
            let held_bytes = self.bounds.held_bytes;
            tracing::warn!(
                %peer,
                held_bytes,
                "a member is too far behind for the log to be kept: it is sent a snapshot"
            );
        }
    }

    fn log_use(&self) -> LogUse {
        let metrics = self.raft.metrics();
        let members = {
            let metrics = metrics.borrow_watched();
            let nodes = metrics.membership_config.membership().nodes();
            nodes.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let progress = self.outgoing.progress(Instant::now(), &members);
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<crate::types::LogId>| id.as_ref().map(|id| id.index);
        let me = metrics.id;

        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let rank = members.iter().filter(|id| **id < me).count();
        let replication = metrics.replication.iter().flatten().filter(|(id, _)| **id != me);

        LogUse {
            at: Positions {
                applied: index(&metrics.last_applied),
                snapshot: index(&metrics.snapshot),
                purged: index(&metrics.purged),
            },
            turn: Turn { rank: count(rank), of: count(members.len()).max(1) },
            followers: replication
                .map(|(peer, matched)| {
                    let next = index(matched).map(|index| index.saturating_add(1));
                    let progress = progress.get(peer);
                    let after_snapshot = progress.and_then(|progress| progress.after_snapshot);
                    let is_served = progress.is_some_and(|progress| progress.is_served);
                    Follower { peer: *peer, next: next.max(after_snapshot), is_served }
                })
                .collect(),
        }
    }
}
