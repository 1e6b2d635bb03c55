//! The queue processor: places queued tasks on workers that have room.

use cluster_state::{AssignTasks, Assignment, Command, Reply, Term};
use raft_store::{Committed, Node, ProposeError};

use super::duty::{Duty, Wait};
use super::placement::{Bounds, Placer};
use crate::settings::SettingsInForce;

/// Bounds of one pass, which makes one log entry: enough placements to amortize a commit, few
/// enough that deciding on them takes about ten milliseconds. Searches that place nothing are
/// bounded to about the same time.
const PASS: Bounds = Bounds { placements: 2_000, probes: 100_000 };

/// Places queued tasks. Every change of the state wakes it, so that a freed slot or a new task
/// waits for nothing; a pass considers only the classes for which something may have changed.
#[derive(Debug)]
pub(super) struct Scheduler {
    node: Node,
    term: Term,
    settings: SettingsInForce,
    placer: Placer,
}

impl Scheduler {
    /// Returns the scheduler of one term.
    #[must_use]
    pub(super) fn new(node: Node, term: Term, settings: SettingsInForce) -> Self {
        Self { node, term, settings, placer: Placer::default() }
    }

    async fn assign(&mut self, assignments: Vec<Assignment>) -> Result<(), ProposeError> {
        tracing::debug!(count = assignments.len(), "placing tasks");
        let command = Command::AssignTasks(AssignTasks { term: self.term, assignments });
        let assigned = self.node.propose_as_leader(self.term, &command).await;
        let is_as_decided = match &assigned {
            Ok(Committed { reply: Reply::Assigned(verdicts), .. }) => {
                verdicts.iter().all(Result::is_ok)
            }
            Ok(_) | Err(_) => false,
        };
        if !is_as_decided {
            self.placer.on_refused();
        }
        assigned.map(drop)
    }
}

impl Duty for Scheduler {
    const NAME: &'static str = "scheduler";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        loop {
            let (placer, settings) = (&mut self.placer, &self.settings);
            let assignments = self.node.reader().with_applied(|state, applied| {
                let strategy = settings.of(state).scheduler.strategy;
                placer.pass(state, applied.index, strategy, PASS)
            });
            if !assignments.is_empty() {
                self.assign(assignments).await?;
                continue;
            }
            if self.placer.is_over() {
                return Ok(Wait::for_change());
            }
            // Releases the state between two rounds that place nothing.
            tokio::task::yield_now().await;
        }
    }
}
