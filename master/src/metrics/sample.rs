//! Reads metrics off the replicated state and Raft at a scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use cluster_state::{
    Level, MassLoss, MasterId, QueueLoad, QueueName, State, Timestamp, Worker, WorkerEventKind,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use proto::memory::MemoryBudget;
use raft_store::{Leadership, Node, SnapshotFailures};

/// A worker that is inactive for longer deserves somebody's attention.
const ABSENCE_LONG: Duration = Duration::from_secs(5 * 60);
/// A worker that is lost this often within the time below is flapping.
const FLAPS_MIN: usize = 3;
const FLAPPING_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The figures of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterSample {
    /// Feature level of the cluster.
    pub(super) level: u64,
    pub(super) is_leader: bool,
    pub(super) has_leader: bool,
    pub(super) term: u64,
    pub(super) last_log: u64,
    pub(super) log_bytes: u64,
    /// The oldest entry that the log may still have.
    pub(super) first_log: u64,
    pub(super) committed: u64,
    pub(super) applied: u64,
    /// By follower; a leader's alone.
    pub(super) lags: BTreeMap<MasterId, u64>,
    /// Members of the cluster by their roles.
    pub(super) members: BTreeMap<&'static str, u64>,
    pub(super) workers: BTreeMap<String, u64>,
    pub(super) tasks: BTreeMap<&'static str, u64>,
    pub(super) queue_oldest: Duration,
    /// On the disk of the data directory; nothing when it is not known.
    pub(super) disk_free: Option<u64>,
    /// Of requests that are on their way in.
    pub(super) body_bytes: u64,
    pub(super) snapshots: SnapshotFailures,
    /// Of the newest backup that this master saved by itself, if it does.
    pub(super) backup_age: Option<Duration>,
    /// Time until this master's certificate ends, or one that vouches for it.
    pub(super) certificate_left: Option<Duration>,
    pub(super) worker_certificate_left: Option<Duration>,
    /// True if this master holds the key of the cluster's issuer, where there is one.
    pub(super) holds_issuer_key: Option<bool>,
    /// True while a mass loss slows requeueing.
    pub(super) is_mass_loss: bool,
    /// Schedules, by whether they are paused.
    pub(super) schedules: BTreeMap<&'static str, u64>,
    /// Tasks of each queue that wait for a worker, and that have one.
    pub(super) queues: BTreeMap<QueueName, [(&'static str, u64); 2]>,
    /// Orphaned results that nobody has dropped.
    pub(super) orphans: u64,
    /// Those that there was no room for.
    pub(super) orphans_displaced: u64,
    /// A leader's alone.
    pub(super) absences: Absences,
}

/// Number and duration of workers' absences, and their arrivals and departures.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Absences {
    pub(super) longest: Duration,
    /// Inactive for longer than [`ABSENCE_LONG`].
    pub(super) long: u64,
    /// Workers that were lost [`FLAPS_MIN`] times or more within [`FLAPPING_WITHIN`].
    pub(super) flapping: u64,
}

impl ClusterSample {
    /// Looks at a master and at the bodies it is about to receive.
    pub(crate) fn of(node: &Node, bodies: &MemoryBudget) -> Self {
        let leadership = *node.leadership().borrow();
        let status = node.local_status();
        let lags = status.matched.iter().filter(|(id, _)| **id != status.node);
        let lags = lags.map(|(id, matched)| (*id, status.last_log.0.saturating_sub(matched.0)));
        // Not log time: that stands still while nothing happens.
        let now = node.clock().now();

        node.reader().with(|state| Self {
            level: state.meta().level.0.into(),
            is_leader: leadership.is_leading(),
            has_leader: match leadership {
                Leadership::Leading { .. } | Leadership::Following { .. } => true,
                Leadership::Leaderless { .. } => false,
            },
            term: status.term.0,
            last_log: status.last_log.0,
            log_bytes: node.log().bytes(),
            first_log: status.purged.map_or(0, |purged| purged.0.saturating_add(1)),
            committed: status.committed.0,
            applied: status.applied.0,
            lags: if leadership.is_leading() {
                node.by_name(lags.collect())
            } else {
                BTreeMap::new()
            },
            members: members(node, leadership),
            workers: workers(state),
            tasks: tasks(state),
            queue_oldest: queue_oldest(state, now),
            disk_free: node.free_bytes(),
            body_bytes: u64::try_from(bodies.taken()).unwrap_or(u64::MAX),
            snapshots: node.snapshot_failures(),
            backup_age: None,
            certificate_left: None,
            worker_certificate_left: None,
            holds_issuer_key: None,
            is_mass_loss: state.mass_loss().is_some_and(MassLoss::brakes),
            schedules: schedules(state),
            queues: queues(state),
            orphans: u64::try_from(state.orphans().len()).unwrap_or(u64::MAX),
            orphans_displaced: state.meta().orphans_displaced,
            absences: if leadership.is_leading() {
                absences(state, now)
            } else {
                Absences::default()
            },
        })
    }

    /// Adds the time of the newest backup that this master saved by itself.
    pub(crate) fn with_backup(self, node: &Node, saved_at: Option<Timestamp>) -> Self {
        Self { backup_age: saved_at.map(|at| node.clock().wall().since(at)), ..self }
    }

    /// Adds the time at which this master's certificate ends.
    pub(crate) fn with_certificate(self, node: &Node, not_after: Option<SystemTime>) -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(node.clock().wall().0);
        let left = not_after.map(|end| end.duration_since(now).unwrap_or(Duration::ZERO));
        Self { certificate_left: left, ..self }
    }

    /// Adds the time at which the first certificate of a worker ends, which a leader knows.
    pub(crate) fn with_worker_certificate(self, node: &Node, end: Option<Timestamp>) -> Self {
        let now = node.clock().wall();
        Self { worker_certificate_left: end.map(|end| end.since(now)), ..self }
    }

    /// Adds whether this master holds the key of the cluster's issuer.
    pub(crate) fn with_issuer_key(self, holds_issuer_key: Option<bool>) -> Self {
        Self { holds_issuer_key, ..self }
    }

    /// Writes whether this master can issue certificates, where the cluster does.
    fn encode_issuer(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(holds_key) = self.holds_issuer_key else { return Ok(()) };
        let help = "Whether this master holds the key of the cluster's issuer of certificates";
        let gauge = ConstGauge::new(i64::from(holds_key));
        gauge.encode(encoder.encode_descriptor("issuer_key", help, None, MetricType::Gauge)?)
    }

    /// Writes the times that are known here only.
    fn encode_times(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in [
            ("backup_age_seconds", "Age of the newest scheduled backup", self.backup_age),
            (
                "certificate_expiry_seconds",
                "Time until the certificate of this master ends",
                self.certificate_left,
            ),
            (
                "worker_certificate_expiry_seconds",
                "Time until the first certificate of an active worker ends",
                self.worker_certificate_left,
            ),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value.as_secs_f64());
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }

    pub(crate) const fn is_leading(&self) -> bool {
        self.is_leader
    }
}

/// Counts the members by role; without a known leader, none has its role.
fn members(node: &Node, leadership: Leadership) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::from([("leader", 0), ("follower", 0), ("learner", 0)]);
    let leader = leadership.leader_node(node.node_id());
    for member in node.members() {
        let role = match (member.is_voter, leader == Some(member.node)) {
            (false, _) => "learner",
            (true, true) => "leader",
            (true, false) => "follower",
        };
        *counts.entry(role).or_default() += 1;
    }
    counts
}

fn workers(state: &State) -> BTreeMap<String, u64> {
    state.worker_counts().into_iter().map(|(state, count)| (state.to_string(), count)).collect()
}

fn absences(state: &State, now: Timestamp) -> Absences {
    let mut absences = Absences::default();
    for worker in state.inactive_workers() {
        let absence = now.since(worker.changed_at);
        absences.longest = absences.longest.max(absence);
        absences.long += u64::from(absence > ABSENCE_LONG);
    }
    let flapping = state.workers().filter(|worker| is_flapping(worker, now));
    absences.flapping = u64::try_from(flapping.count()).unwrap_or(u64::MAX);
    absences
}

fn is_flapping(worker: &Worker, now: Timestamp) -> bool {
    let latest = worker.history.iter().rev();
    let recent = latest.take_while(|event| now.since(event.at) <= FLAPPING_WITHIN);
    let losses = recent.filter(|event| match event.kind {
        WorkerEventKind::Disconnected(_) | WorkerEventKind::Replaced(_) => true,
        WorkerEventKind::Registered
        | WorkerEventKind::Updated(_)
        | WorkerEventKind::Connected(_)
        | WorkerEventKind::NameContested(_)
        | WorkerEventKind::Cordoned
        | WorkerEventKind::Uncordoned
        | WorkerEventKind::DrainStarted
        | WorkerEventKind::DrainDeadlinePassed
        | WorkerEventKind::Unreachable(_)
        | WorkerEventKind::Reachable
        | WorkerEventKind::Unfit(_)
        | WorkerEventKind::Fit => false,
    });
    losses.count() >= FLAPS_MIN
}

/// Counts live tasks by state; finished ones are on disk and grow old there.
fn tasks(state: &State) -> BTreeMap<&'static str, u64> {
    state.task_counts().iter().map(|(kind, count)| (kind.name(), count)).collect()
}

fn schedules(state: &State) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::from([("active", 0), ("paused", 0)]);
    for schedule in state.schedules() {
        *counts.entry(if schedule.is_paused { "paused" } else { "active" }).or_default() += 1;
    }
    counts
}

fn queues(state: &State) -> BTreeMap<QueueName, [(&'static str, u64); 2]> {
    let loads = state.queue_names().into_iter().map(|name| {
        let QueueLoad { waiting, running, .. } = state.queue_load(&name);
        (name, [("waiting", waiting), ("running", running)])
    });
    loads.collect()
}

fn queue_oldest(state: &State, now: Timestamp) -> Duration {
    state.oldest_not_paused().map_or(Duration::ZERO, |oldest| now.since(oldest.queued_at()))
}

impl Collector for ClusterSample {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plain = [
            ("level", "Feature level of the cluster", self.level),
            ("level_max", "Highest feature level of this release", Level::NEWEST.0.into()),
            ("raft_is_leader", "1 on the leader", u64::from(self.is_leader)),
            ("raft_has_leader", "1 while a leader is known", u64::from(self.has_leader)),
            ("raft_term", "Newest term seen", self.term),
            ("raft_last_log_index", "Last entry of the log", self.last_log),
            ("raft_first_log_index", "Oldest entry that the log may still have", self.first_log),
            ("raft_log_bytes", "Bytes of the log's entries on disk", self.log_bytes),
            ("raft_commit_index", "Last entry known to be committed", self.committed),
            ("raft_applied_index", "Last entry applied", self.applied),
            ("request_body_bytes", "Bytes of incoming request bodies", self.body_bytes),
            ("orphaned_results", "Results unknown to the backup, not dropped yet", self.orphans),
            ("mass_loss", "1 while a mass loss is not acknowledged", u64::from(self.is_mass_loss)),
        ];
        for (name, help, value) in plain {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }

        if let Some(free) = self.disk_free {
            let (name, help) = ("disk_free_bytes", "Room on the disk of the data directory");
            let gauge = ConstGauge::new(free);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }

        self.encode_times(&mut encoder)?;
        self.encode_issuer(&mut encoder)?;

        let SnapshotFailures { not_taken, refused } = self.snapshots;
        for (name, help, value) in [
            ("snapshots_not_taken", "Snapshots of the state that could not be taken", not_taken),
            ("snapshots_refused", "Received snapshots that cannot be used here", refused),
            (
                "orphaned_results_displaced",
                "Orphaned results that there was no room to keep",
                self.orphans_displaced,
            ),
        ] {
            let counter = ConstCounter::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode(descriptor)?;
        }
        if self.is_leader {
            self.absences.encode(&mut encoder)?;
        }

        let oldest = ConstGauge::new(self.queue_oldest.as_secs_f64());
        let help = "Age of the oldest task that waits for a worker, but for paused queues";
        oldest.encode(encoder.encode_descriptor(
            "queue_oldest_seconds",
            help,
            None,
            MetricType::Gauge,
        )?)?;

        family(&mut encoder, "members", "Members of the cluster", "role", &self.members)?;
        family(&mut encoder, "workers", "Registered workers", "state", &self.workers)?;
        family(&mut encoder, "tasks", "Live tasks", "state", &self.tasks)?;
        family(&mut encoder, "schedules", "Schedules", "state", &self.schedules)?;
        self.encode_queues(&mut encoder)?;
        if self.is_leader {
            let lags = self.lags.iter().map(|(peer, lag)| (peer.to_string(), *lag)).collect();
            let help = "Entries that a follower lacks";
            family(&mut encoder, "raft_replication_lag", help, "peer", &lags)?;
        }
        Ok(())
    }
}

impl ClusterSample {
    fn encode_queues(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Tasks of a queue that wait for a worker, or have one";
        let mut family = encoder.encode_descriptor("queue_tasks", help, None, MetricType::Gauge)?;
        for (queue, counts) in &self.queues {
            for (state, count) in counts {
                let labels = [("queue", queue.as_str()), ("state", *state)];
                ConstGauge::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Absences {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "worker_inactive_seconds_max";
        let help = "Inactive time of the longest absent worker";
        let longest = ConstGauge::new(self.longest.as_secs_f64());
        longest.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        let counts = [
            ("workers_inactive_over_5m", "Workers inactive for over five minutes", self.long),
            ("workers_flapping", "Workers lost three times or more in 15 minutes", self.flapping),
        ];
        for (name, help, count) in counts {
            let gauge = ConstGauge::new(count);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
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
