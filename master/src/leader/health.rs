//! Records the health of workers: whether each can be called and can start programs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{ChangeHealth, Command, State, WorkerId};
use raft_store::ProposeError;
use tokio::time::Instant;

use super::duty::{Duty, Wait};
use super::state::LeaderState;

/// Pause between two passes, however fast the state moves.
const PASS_PAUSE: Duration = Duration::from_millis(50);

/// Records findings about the health of workers, and logs each change once.
#[derive(Debug)]
pub(super) struct HealthRecorder {
    leader: Arc<LeaderState>,
    /// Health of the ailing workers as it was last logged.
    logged: BTreeMap<WorkerId, Ailment>,
    /// Earliest time of the next pass.
    next_pass: Instant,
}

/// Reasons why a worker cannot be called or cannot start programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ailment {
    unreachable: Option<String>,
    unfit: Option<String>,
}

impl HealthRecorder {
    /// Returns the recorder of one term.
    #[must_use]
    pub(super) fn new(leader: Arc<LeaderState>) -> Self {
        Self { leader, logged: BTreeMap::new(), next_pass: Instant::now() }
    }

    /// Commits the findings that were posted.
    async fn record(&self) -> Result<(), ProposeError> {
        let LeaderState { node, term, findings, .. } = &*self.leader;
        loop {
            let changes = findings.take();
            if changes.is_empty() {
                return Ok(());
            }
            let command =
                Command::ChangeHealth(ChangeHealth { term: *term, changes: changes.clone() });
            if let Err(error) = node.propose_as_leader(*term, &command).await {
                findings.put_back(changes);
                return Err(error);
            }
        }
    }

    /// Logs changes of health since the last pass. Costs O(ailing workers).
    fn log_changes(&mut self) {
        let ailing = self.leader.node.reader().with(ailing);
        if ailing == self.logged {
            return;
        }

        let recovered = self.leader.node.reader().with(|state| {
            let gone = self.logged.keys().filter(|worker| !ailing.contains_key(*worker));
            let well = |worker: &&WorkerId| state.worker(worker).is_some_and(|one| one.is_active());
            gone.filter(well).map(|worker| (worker.clone(), Ailment::default())).collect::<Vec<_>>()
        });
        for (worker, now) in
            ailing.iter().chain(recovered.iter().map(|(worker, now)| (worker, now)))
        {
            let before = self.logged.get(worker).cloned().unwrap_or_default();
            match (&before.unreachable, &now.unreachable) {
                (None, Some(reason)) => {
                    tracing::warn!(%worker, reason, "worker cannot be called: it gets no tasks");
                }
                (Some(_), None) => tracing::info!(%worker, "worker can be called again"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            match (&before.unfit, &now.unfit) {
                (None, Some(reason)) => {
                    tracing::warn!(%worker, reason, "worker cannot start programs: it gets no tasks");
                }
                (Some(_), None) => tracing::info!(%worker, "worker can start programs again"),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        self.logged = ailing;
    }
}

impl Duty for HealthRecorder {
    const NAME: &'static str = "health";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        self.log_changes();
        self.record().await?;
        self.next_pass = Instant::now() + PASS_PAUSE;
        Ok(Wait::for_change_after(self.next_pass))
    }

    async fn wake(&mut self) {
        tokio::time::sleep_until(self.next_pass).await;
        self.leader.findings.wait_for_posted().await;
    }
}

fn ailing(state: &State) -> BTreeMap<WorkerId, Ailment> {
    let ailing = state.ailing_workers().map(|worker| {
        let unreachable = worker.health.unreachable.as_ref().map(|one| one.detail.clone());
        let unfit = worker.health.unfit().map(|one| one.detail.clone());
        (worker.id.clone(), Ailment { unreachable, unfit })
    });
    ailing.collect()
}
