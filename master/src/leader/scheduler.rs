//! The queue processor: places queued tasks on workers that have room.

use std::time::Duration;

use cluster_state::{Assignment, Command, Reply, Term};
use raft_store::{Committed, Node, ProposeError};

use super::driver::Reconciler;
use super::placement::{Bounds, Placer, Strategy};

/// One log entry's worth of placements: enough to amortize a commit, few enough that deciding on
/// them takes about ten milliseconds. Looks in vain may take as long.
const PASS: Bounds = Bounds { placements: 2_000, looks: 100_000 };

/// Places queued tasks. Woken by every change of the state, so that a freed slot or a new task
/// waits for nothing; a pass looks only at what may have changed for tasks that wait.
#[derive(Debug)]
pub(super) struct Scheduler {
    node: Node,
    term: Term,
    strategy: Strategy,
    placer: Placer,
}

impl Scheduler {
    /// The scheduler of one term of leadership.
    #[must_use]
    pub(super) fn new(node: Node, term: Term, strategy: Strategy) -> Self {
        Self { node, term, strategy, placer: Placer::default() }
    }

    async fn assign(&mut self, assignments: Vec<Assignment>) -> Result<(), ProposeError> {
        tracing::debug!(count = assignments.len(), "placing tasks");
        let command = Command::AssignTasks { term: self.term, assignments };
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

impl Reconciler for Scheduler {
    const NAME: &'static str = "scheduler";
    type Error = ProposeError;

    async fn reconcile(&mut self) -> Result<Option<Duration>, ProposeError> {
        loop {
            let (placer, strategy) = (&mut self.placer, self.strategy);
            let assignments = self
                .node
                .reader()
                .with_applied(|state, applied| placer.pass(state, applied.index, strategy, PASS));
            if !assignments.is_empty() {
                self.assign(assignments).await?;
                continue;
            }
            if self.placer.is_over() {
                return Ok(None);
            }
            // Lets go of the state between two passes that place nothing.
            tokio::task::yield_now().await;
        }
    }
}
