//! Drives what happens by the passing of time: retry backoffs, run timeouts, expiry, retention.

mod aged;

use std::time::Duration;

use cluster_state::{
    AuditSettings, Command, LogIndex, PruneTrail, Reply, RetentionSettings, TaskId, Term, Tick,
    Timestamp,
};
use raft_store::{Node, ProposeError, StorageError};
use tokio::time::Instant;

use self::aged::AgeAllowance;
use super::duty::{Duty, Wait};
use crate::settings::SettingsInForce;

/// Interval between two searches for tasks to forget, which read the oldest records only.
const RETENTION_PERIOD: Duration = Duration::from_secs(10);
/// Finished tasks forgotten by one command.
const FORGET_MAX: usize = 5_000;

/// Proposes a tick whenever a timer is due.
#[derive(Debug)]
pub(crate) struct Ticker {
    node: Node,
    term: Term,
    settings: SettingsInForce,
    next_retention: Instant,
    aged: AgeAllowance,
    aged_at: Instant,
    aged_orders: AgeAllowance,
    next_pruning: Instant,
}

impl Ticker {
    /// Returns the ticker of one term.
    #[must_use]
    pub(crate) fn new(node: Node, term: Term, settings: SettingsInForce) -> Self {
        let now = Instant::now();
        let (aged, aged_orders) = (AgeAllowance::default(), AgeAllowance::default());
        Self {
            node,
            term,
            settings,
            next_retention: now,
            aged,
            aged_at: now,
            aged_orders,
            next_pruning: now,
        }
    }

    /// Returns the tasks to forget now.
    async fn forgettable(&mut self) -> Vec<TaskId> {
        if Instant::now() < self.next_retention {
            return Vec::new();
        }
        let forget = self.find_forgettable().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for finished tasks to forget");
            Vec::new()
        });
        // A full batch means that there is more.
        if forget.len() < FORGET_MAX {
            self.next_retention = Instant::now() + RETENTION_PERIOD;
        }
        forget
    }

    /// Finds the oldest finished tasks, as far as there are too many or they are too old.
    async fn find_forgettable(&mut self) -> Result<Vec<TaskId>, StorageError> {
        let reader = self.node.reader();
        let RetentionSettings { tasks, age } =
            reader.with(|state| self.settings.of(state).retention);
        let kept = reader.history_len_estimate().await?;
        let now = Instant::now();
        self.aged.on_passed(now.saturating_duration_since(self.aged_at), kept);
        self.aged_at = now;

        let excess = usize::try_from(kept.saturating_sub(tasks)).unwrap_or(usize::MAX);
        if excess > 0 {
            let latest = Timestamp(u64::MAX);
            return reader.expired_history(latest, excess.min(FORGET_MAX)).await;
        }

        let before = self.node.clock().now().before(age);
        let allowed = usize::try_from(self.aged.tasks()).unwrap_or(usize::MAX);
        let aged = reader.expired_history(before, allowed.min(FORGET_MAX)).await?;
        self.aged.on_forgotten(u64::try_from(aged.len()).unwrap_or(u64::MAX));
        Ok(aged)
    }
}

impl Ticker {
    /// Forgets orders in the trail for their age, as gradually as tasks. Their number is kept within
    /// its bound by every order that is added.
    async fn prune_trail(&mut self) -> Result<(), ProposeError> {
        let now = Instant::now();
        if now < self.next_pruning {
            return Ok(());
        }
        let passed = RETENTION_PERIOD + now.saturating_duration_since(self.next_pruning);
        self.next_pruning = now + RETENTION_PERIOD;

        let log_time = self.node.clock().now();
        let allowance = &mut self.aged_orders;
        let aged = self.node.reader().with(|state| {
            let AuditSettings { age, .. } = self.settings.of(state).audit;
            let kept = u64::try_from(state.trail().len()).unwrap_or(u64::MAX);
            allowance.on_passed(passed, kept);
            let allowed = usize::try_from(allowance.tasks()).unwrap_or(usize::MAX);
            // The newest one stays.
            let allowed = allowed.min(state.trail().len().saturating_sub(1));
            let before = log_time.before(age);
            let aged = state.trail().take_while(|record| record.at < before).take(allowed);
            aged.map(|record| record.index).collect::<Vec<LogIndex>>()
        });
        let Some(up_to) = aged.last().copied() else { return Ok(()) };
        allowance.on_forgotten(u64::try_from(aged.len()).unwrap_or(u64::MAX));
        let command = Command::PruneTrail(PruneTrail { term: self.term, up_to });
        self.node.propose_as_leader(self.term, &command).await.map(drop)
    }
}

impl Duty for Ticker {
    const NAME: &'static str = "ticker";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        self.prune_trail().await?;
        loop {
            let forget = self.forgettable().await;
            let now = self.node.clock().now();
            let timer = self.node.reader().with(cluster_state::State::next_timer);
            let is_due = timer.is_some_and(|at| at <= now);
            if !is_due && forget.is_empty() {
                let until_timer = timer.and_then(|at| Instant::now().checked_add(at.since(now)));
                let next =
                    until_timer.into_iter().chain([self.next_retention, self.next_pruning]).min();
                return Ok(Wait::for_change().at_most_until(next));
            }
            let command = Command::Tick(Tick { term: self.term, forget });
            let committed = self.node.propose_as_leader(self.term, &command).await?;
            if let Reply::Ticked { fired, .. } = committed.reply
                && fired > 0
            {
                tracing::debug!(fired, "timers fired");
            }
        }
    }
}
