//! Records which workers cannot be called or cannot start programs, and tells operators once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{ChangeHealth, Command, Epoch, HealthChange, HealthFinding, State, WorkerId};
use parking_lot::{Mutex, MutexGuard};
use raft_store::{AppliedAt, ProposeError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::sessions::Lead;

/// Findings in one log entry: a whole fleet behind a firewall makes a few entries.
const FINDINGS_MAX: usize = 1_000;
/// A failed proposal is repeated after this time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Between two passes, however fast the state moves.
const PASS_PAUSE: Duration = Duration::from_millis(50);

/// What was found out about workers and is not in the log yet: the latest of each kind.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    open: Mutex<BTreeMap<(WorkerId, Aspect), HealthChange>>,
    news: Notify,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aspect {
    Reach,
    Fitness,
}

impl Aspect {
    const fn of(finding: &HealthFinding) -> Self {
        match finding {
            HealthFinding::Unreachable { .. } | HealthFinding::Reachable => Self::Reach,
            HealthFinding::Unfit { .. } | HealthFinding::Fit => Self::Fitness,
        }
    }
}

impl Findings {
    /// Has a finding about a registration recorded soon.
    pub(crate) fn post(&self, worker: &WorkerId, epoch: Epoch, finding: HealthFinding) {
        let key = (worker.clone(), Aspect::of(&finding));
        self.open().insert(key, HealthChange { worker: worker.clone(), epoch, finding });
        self.news.notify_one();
    }

    fn take(&self) -> Vec<HealthChange> {
        let mut open = self.open();
        let mut taken = Vec::new();
        while taken.len() < FINDINGS_MAX
            && let Some((_, change)) = open.pop_first()
        {
            taken.push(change);
        }
        taken
    }

    /// Puts back what could not be recorded, unless there is something newer.
    fn put_back(&self, changes: Vec<HealthChange>) {
        let mut open = self.open();
        for change in changes {
            let key = (change.worker.clone(), Aspect::of(&change.finding));
            open.entry(key).or_insert(change);
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<(WorkerId, Aspect), HealthChange>> {
        self.open.lock()
    }
}

/// The duty of one term of leadership.
#[derive(Debug)]
pub(super) struct HealthRecorder {
    lead: Arc<Lead>,
    /// The workers that operators were told of.
    told: BTreeMap<WorkerId, Told>,
}

/// What operators were told of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    unreachable: Option<String>,
    unfit: Option<String>,
}

impl HealthRecorder {
    /// A duty that has told nobody anything.
    #[must_use]
    pub(super) const fn new(lead: Arc<Lead>) -> Self {
        Self { lead, told: BTreeMap::new() }
    }

    /// Runs until cancelled.
    pub(super) async fn run(
        mut self,
        mut applied: watch::Receiver<AppliedAt>,
        stop: CancellationToken,
    ) {
        loop {
            applied.borrow_and_update();
            self.tell();
            let recorded = tokio::select! {
                () = stop.cancelled() => return,
                recorded = self.record() => recorded,
            };
            if let Err(error) = recorded {
                tracing::warn!(%error, "cannot record the health of workers");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_PAUSE) => continue,
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PASS_PAUSE) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lead.findings.news.notified() => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn record(&self) -> Result<(), ProposeError> {
        let Lead { node, term, findings, .. } = &*self.lead;
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

    /// Logs what has turned since the last look. Costs what is wrong.
    fn tell(&mut self) {
        let ailing = self.lead.node.reader().with(ailing);
        if ailing == self.told {
            return;
        }
        let recovered = self.lead.node.reader().with(|state| {
            let gone = self.told.keys().filter(|worker| !ailing.contains_key(*worker));
            let well = |worker: &&WorkerId| state.worker(worker).is_some_and(|one| one.is_active());
            gone.filter(well).map(|worker| (worker.clone(), Told::default())).collect::<Vec<_>>()
        });
        for (worker, now) in
            ailing.iter().chain(recovered.iter().map(|(worker, now)| (worker, now)))
        {
            let before = self.told.get(worker).cloned().unwrap_or_default();
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
        self.told = ailing;
    }
}

fn ailing(state: &State) -> BTreeMap<WorkerId, Told> {
    let told = state.ailing_workers().map(|worker| {
        let unreachable = worker.health.unreachable.as_ref().map(|one| one.detail.clone());
        let unfit = worker.health.unfit().map(|one| one.detail.clone());
        (worker.id.clone(), Told { unreachable, unfit })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfit(detail: &str) -> HealthFinding {
        HealthFinding::Unfit { detail: detail.to_owned() }
    }

    #[test]
    fn the_latest_finding_of_each_kind_counts() {
        let findings = Findings::default();
        let worker = "w1".parse().unwrap();
        findings.post(&worker, Epoch(1), unfit("a"));
        findings.post(&worker, Epoch(1), HealthFinding::Reachable);
        findings.post(&worker, Epoch(1), unfit("b"));
        let taken = findings.take();
        let told = taken.iter().map(|change| change.finding.clone()).collect::<Vec<_>>();
        assert_eq!(told, [HealthFinding::Reachable, unfit("b")]);

        findings.post(&worker, Epoch(1), HealthFinding::Fit);
        findings.put_back(taken);
        let told = findings.take().into_iter().map(|change| change.finding).collect::<Vec<_>>();
        assert_eq!(told, [HealthFinding::Reachable, HealthFinding::Fit]);
        assert_eq!(findings.take(), []);
    }
}
