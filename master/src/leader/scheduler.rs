//! The queue processor: places queued tasks on workers that have room.

use std::time::Duration;

use cluster_state::{Command, Term};
use raft_store::{Node, ProposeError};

use super::driver::Reconciler;
use super::placement::{self, Strategy};

/// Placements in one log entry: enough to amortize a commit, few enough that one entry is applied
/// in a few milliseconds.
const PLACEMENTS_MAX: usize = 2_000;

/// Places queued tasks. Woken by every change of the state, so that a freed slot or a new task
/// waits for nothing; a pass without waiting tasks looks at nothing else.
#[derive(Debug)]
pub struct Scheduler {
    node: Node,
    term: Term,
    strategy: Strategy,
}

impl Scheduler {
    /// The scheduler of one term of leadership.
    #[must_use]
    pub const fn new(node: Node, term: Term, strategy: Strategy) -> Self {
        Self { node, term, strategy }
    }
}

impl Reconciler for Scheduler {
    const NAME: &'static str = "scheduler";
    type Error = ProposeError;

    async fn reconcile(&mut self) -> Result<Option<Duration>, ProposeError> {
        loop {
            let strategy = self.strategy;
            let assignments = self.node.reader().with(|state| {
                let is_idle = state.queue().next().is_none();
                if is_idle { Vec::new() } else { placement::place(state, strategy, PLACEMENTS_MAX) }
            });
            if assignments.is_empty() {
                return Ok(None);
            }
            tracing::debug!(count = assignments.len(), "placing tasks");
            let command = Command::AssignTasks { term: self.term, assignments };
            self.node.propose_as_leader(self.term, &command).await?;
        }
    }
}
