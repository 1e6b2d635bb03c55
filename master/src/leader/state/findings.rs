//! Findings about the health of workers that are not in the log yet.

use std::collections::BTreeMap;

use cluster_state::{Epoch, HealthChange, HealthFinding, WorkerId};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// Findings in one log entry: a whole fleet behind a firewall makes a few entries.
const FINDINGS_MAX: usize = 1_000;

/// The latest finding of each aspect of each worker, until it is recorded.
#[derive(Debug, Default)]
pub(crate) struct HealthFindings {
    open: Mutex<BTreeMap<(WorkerId, Aspect), HealthChange>>,
    posted: Notify,
}

/// Subject of a finding.
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

impl HealthFindings {
    /// Has a finding about a registration recorded soon.
    pub(crate) fn post(&self, worker: &WorkerId, epoch: Epoch, finding: HealthFinding) {
        let key = (worker.clone(), Aspect::of(&finding));
        self.open().insert(key, HealthChange { worker: worker.clone(), epoch, finding });
        self.posted.notify_one();
    }

    /// Waits until a finding is posted. Cancel safe.
    pub(crate) async fn wait_for_posted(&self) {
        self.posted.notified().await;
    }

    /// Takes the findings of one log entry.
    pub(crate) fn take(&self) -> Vec<HealthChange> {
        let mut open = self.open();
        let mut taken = Vec::new();
        while taken.len() < FINDINGS_MAX
            && let Some((_, change)) = open.pop_first()
        {
            taken.push(change);
        }
        taken
    }

    /// Puts back findings that could not be recorded, except those that have been superseded.
    pub(crate) fn put_back(&self, changes: Vec<HealthChange>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unfit(detail: &str) -> HealthFinding {
        HealthFinding::Unfit { detail: detail.to_owned() }
    }

    #[test]
    fn the_latest_finding_of_each_aspect_counts() {
        let findings = HealthFindings::default();
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
