//! The queue processor: places queued tasks on workers that have room.

use std::time::Duration;

use cluster_state::{Command, Term};
use raft_store::{Node, ProposeError};

use super::driver::Reconciler;
use super::placement::{Bounds, Round, Strategy};

/// One log entry's worth of placements: enough to amortize a commit, few enough that deciding on
/// them takes about ten milliseconds. Looks in vain may take as long.
const PASS: Bounds = Bounds { placements: 2_000, looks: 100_000 };

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
        let mut round = Round::default();
        loop {
            let strategy = self.strategy;
            let assignments = self.node.reader().with(|state| round.pass(state, strategy, PASS));
            if assignments.is_empty() {
                if round.is_over() {
                    return Ok(None);
                }
                // Lets go of the state between two passes that place nothing.
                tokio::task::yield_now().await;
                continue;
            }
            tracing::debug!(count = assignments.len(), "placing tasks");
            let command = Command::AssignTasks { term: self.term, assignments };
            self.node.propose_as_leader(self.term, &command).await?;
        }
    }
}
