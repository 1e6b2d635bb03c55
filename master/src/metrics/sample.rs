//! What is read off the replicated state and Raft when somebody looks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cluster_state::{MasterId, State, TaskState, WorkerStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use raft_store::{Leadership, Node};

/// Classes whose oldest task is looked at: more do not wait at once in practice, and a scrape must
/// not hold up the state.
const CLASSES_MAX: usize = 1_000;

/// The states before the terminal ones, in the order of their names.
const LIVE_STATES: usize = 5;

/// The figures of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterSample {
    pub(super) is_leader: bool,
    pub(super) has_leader: bool,
    pub(super) term: u64,
    pub(super) last_log: u64,
    pub(super) committed: u64,
    pub(super) applied: u64,
    /// By follower; a leader's alone.
    pub(super) lags: BTreeMap<MasterId, u64>,
    pub(super) workers: BTreeMap<String, u64>,
    pub(super) tasks: BTreeMap<&'static str, u64>,
    pub(super) queue_oldest: Duration,
}

impl ClusterSample {
    /// Looks at a master.
    pub(crate) fn of(node: &Node) -> Self {
        let leadership = *node.leadership().borrow();
        let status = node.local_status();
        let lags = status.matched.iter().filter(|(id, _)| **id != status.id);
        let lags = lags.map(|(id, matched)| (*id, status.last_log.0.saturating_sub(matched.0)));
        let (workers, tasks, queue_oldest) =
            node.reader().with(|state| (workers(state), tasks(state), queue_oldest(state)));
        Self {
            is_leader: leadership.is_leading(),
            has_leader: match leadership {
                Leadership::Leading { .. } | Leadership::Following { .. } => true,
                Leadership::Leaderless { .. } => false,
            },
            term: status.term.0,
            last_log: status.last_log.0,
            committed: status.committed.0,
            applied: status.applied.0,
            lags: if leadership.is_leading() { lags.collect() } else { BTreeMap::new() },
            workers,
            tasks,
            queue_oldest,
        }
    }

    pub(crate) const fn is_leading(&self) -> bool {
        self.is_leader
    }
}

fn workers(state: &State) -> BTreeMap<String, u64> {
    let none = WorkerStatus::ALL.iter().map(|status| (status.to_string(), 0));
    let mut counts = none.collect::<BTreeMap<_, u64>>();
    for worker in state.workers() {
        *counts.entry(worker.status.to_string()).or_default() += 1;
    }
    counts
}

/// Live tasks alone: finished ones are on disk and grow old there.
fn tasks(state: &State) -> BTreeMap<&'static str, u64> {
    let live = TaskState::NAMES.into_iter().take(LIVE_STATES).map(|name| (name, 0));
    let mut counts = live.collect::<BTreeMap<_, _>>();
    counts.extend(state.task_counts());
    counts
}

fn queue_oldest(state: &State) -> Duration {
    let firsts = state.queue().take(CLASSES_MAX).filter_map(|(_, queue)| queue.tasks().next());
    let oldest = firsts.filter_map(|id| state.task(id)).map(|task| task.submitted_at).min();
    oldest.map_or(Duration::ZERO, |oldest| state.meta().now.since(oldest))
}

impl Collector for ClusterSample {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plain = [
            ("raft_is_leader", "1 on the leader", u64::from(self.is_leader)),
            ("raft_has_leader", "1 while a leader is known", u64::from(self.has_leader)),
            ("raft_term", "Newest term seen", self.term),
            ("raft_last_log_index", "Last entry of the log", self.last_log),
            ("raft_commit_index", "Last entry known to be committed", self.committed),
            ("raft_applied_index", "Last entry applied", self.applied),
        ];
        for (name, help, value) in plain {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let oldest = ConstGauge::new(self.queue_oldest.as_secs_f64());
        let help = "Age of the oldest task that waits for a worker";
        oldest.encode(encoder.encode_descriptor(
            "queue_oldest_seconds",
            help,
            None,
            MetricType::Gauge,
        )?)?;
        family(&mut encoder, "workers", "Registered workers", "state", &self.workers)?;
        family(&mut encoder, "tasks", "Live tasks", "state", &self.tasks)?;
        if self.is_leader {
            let lags = self.lags.iter().map(|(peer, lag)| (peer.to_string(), *lag)).collect();
            let help = "Entries that a follower lacks";
            family(&mut encoder, "raft_replication_lag", help, "peer", &lags)?;
        }
        Ok(())
    }
}

fn family<K: AsRef<str>>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &BTreeMap<K, u64>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (value, number) in values {
        let labels = [(label, value.as_ref())];
        ConstGauge::new(*number).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
