//! The queue processor: places queued tasks on workers that have room, and gives others ahead to workers
//! that start one short task after another.

use std::sync::Arc;

use cluster_state::{
    Ahead, AssignAhead, AssignTasks, Assignment, Command, Hold, Reply, State, Timestamp,
};
use raft_store::{Committed, ProposeError};
use tokio::time::Instant;

use super::duty::{Duty, Wait};
use super::placement::{Bounds, Placer};
use super::state::LeaderState;
use crate::settings::SettingsInForce;

/// Bounds of one pass, which makes one log entry: enough placements to amortize a commit, few
/// enough that deciding on them takes about ten milliseconds. Searches that place nothing are
/// bounded to about the same time.
const PASS: Bounds = Bounds { placements: 2_000, probes: 100_000 };

/// Places queued tasks. Every change of the state wakes it, so that a freed slot or a new task
/// waits for nothing; a pass considers only the classes for which something may have changed.
#[derive(Debug)]
pub(super) struct Scheduler {
    leader: Arc<LeaderState>,
    settings: SettingsInForce,
    placer: Placer,
}

impl Scheduler {
    /// Returns the scheduler of one term.
    #[must_use]
    pub(super) fn new(leader: Arc<LeaderState>, settings: SettingsInForce) -> Self {
        Self { leader, settings, placer: Placer::default() }
    }

    async fn assign(&mut self, assignments: Vec<Assignment>) -> Result<(), ProposeError> {
        tracing::debug!(count = assignments.len(), "placing tasks");
        let term = self.leader.term;
        let command = Command::AssignTasks(AssignTasks { term, assignments });
        self.propose(&command).await.map(drop)
    }

    /// Gives tasks for which there is no room to workers that have asked for them. Returns whether there
    /// were any.
    async fn assign_ahead(&mut self) -> Result<bool, ProposeError> {
        let wishes = self.leader.wishes.take(Instant::now());
        if wishes.is_empty() {
            return Ok(false);
        }
        let (placer, now) = (&mut self.placer, self.leader.node.clock().now());
        let assignments = self.leader.node.reader().with_applied(|state, applied| {
            if state.meta().level < Ahead::LEVEL {
                return Vec::new();
            }
            placer.ahead(state, (applied.index, now), &wishes)
        });
        if assignments.is_empty() {
            return Ok(false);
        }
        tracing::debug!(count = assignments.len(), "giving tasks ahead");
        let term = self.leader.term;
        let command = Command::AssignAhead(AssignAhead { term, assignments });
        let given = self.propose(&command).await?;
        self.leader.metrics.on_given_ahead(given);
        Ok(true)
    }

    /// Proposes placements and returns the number of those that were accepted.
    async fn propose(&mut self, command: &Command) -> Result<usize, ProposeError> {
        let assigned = self.leader.node.propose_as_leader(self.leader.term, command).await;
        let (accepted, is_as_decided) = match &assigned {
            Ok(Committed { reply: Reply::Assigned(verdicts), .. }) => {
                let accepted = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
                (accepted, accepted == verdicts.len())
            }
            Ok(_) | Err(_) => (0, false),
        };
        if !is_as_decided {
            self.placer.on_refused();
        }
        assigned.map(|_| accepted)
    }
}

/// Returns the first time at which a queue may start a task that its rate holds back now.
fn next_start(state: &State, now: Timestamp) -> Option<Timestamp> {
    let starts = state.queues_in_use().filter_map(|queue| match state.starts_left(queue, now) {
        Err(Hold::Rate { until, .. }) => Some(until),
        Err(Hold::Paused | Hold::MaxRunning { .. } | Hold::Key { .. }) | Ok(_) => None,
    });
    starts.min()
}

impl Duty for Scheduler {
    const NAME: &'static str = "scheduler";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        loop {
            let (placer, settings) = (&mut self.placer, &self.settings);
            let now = self.leader.node.clock().now();
            let assignments = self.leader.node.reader().with_applied(|state, applied| {
                let strategy = settings.of(state).scheduler.strategy;
                placer.pass(state, (applied.index, now), strategy, PASS)
            });
            self.leader.metrics.set_reserved(self.placer.reserved());
            if !assignments.is_empty() {
                self.assign(assignments).await?;
                continue;
            }
            // Tasks that can be placed at once come first.
            if self.placer.is_over() && !self.assign_ahead().await? {
                let until = self.leader.node.reader().with(|state| next_start(state, now));
                let until = until.and_then(|at| Instant::now().checked_add(at.since(now)));
                return Ok(Wait::for_change().at_most_until(until));
            }
            // Releases the state between two rounds that place nothing.
            tokio::task::yield_now().await;
        }
    }
}
