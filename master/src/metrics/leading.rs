//! Series that only a leader has: on a follower they are absent, not zero.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cluster_state::{AttemptOutcomeKind, MasterId, QueueName, RunCounts, TaskStateKind};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Seconds;

/// Every value of the `kind` label, so that each counter is there from the start.
const STALE_KINDS: [&str; 7] = [
    "completion",
    "running-attempt",
    "heartbeat",
    "leader-term",
    "cluster",
    "join-token",
    "duplicate-name",
];

/// Every value of the `reason` label, so that each counter is there from the start.
const DISCONNECTS: [&str; 3] = ["heartbeat-timeout", "shutdown", "replaced"];

/// Every value of the `reason` label of failed deliveries.
const DISPATCH_FAILURES: [&str; 4] = ["unreachable", "refused", "no-room", "not-recorded"];

/// Values of the `outcome` label of announcements.
const REACHED: &str = "reached";
const FAILED: &str = "failed";

/// Outcome of a contact with an inactive worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reconnected {
    /// The worker has registered, or can be called again.
    Yes,
    /// It was not reached, or has not registered.
    No,
}

/// Converts milliseconds to seconds, for people.
#[expect(clippy::cast_precision_loss, reason = "a clock that is off by ages may be told roughly")]
pub(crate) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// A label with few values that are known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label(&'static str, &'static str);

impl EncodeLabelSet for Label {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [(self.0, self.1)].encode(encoder)
    }
}

/// Label of series that are measured for each master.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer(u64);

impl EncodeLabelSet for Peer {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("peer", self.0)].encode(encoder)
    }
}

/// Labels of tasks that are over. There are as many queues as operators have made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FinishedIn(TaskStateKind, QueueName);

impl EncodeLabelSet for FinishedIn {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("state", self.0.name()), ("queue", self.1.as_str())].encode(encoder)
    }
}

#[derive(Clone)]
pub(super) struct Leading {
    pub(super) heartbeats: Counter,
    pub(super) round: Seconds,
    pub(super) time_to_reconnect: LongSeconds,
    pub(super) worker_up: LongSeconds,
    pub(super) registration_to_connect: LongSeconds,
    pub(super) announcements_seconds: Seconds,
    pub(super) monitor_running: Gauge,
    pub(super) submit_to_start: Seconds,
    disconnects: Family<Label, Counter>,
    announcements: Family<Label, Counter>,
    pub(super) attempts: Counter,
    successes: Counter,
    failures: Counter,
    ended: Family<Label, Counter>,
    stale: Family<Label, Counter>,
    dispatch_failures: Family<Label, Counter>,
    given_ahead: Counter,
    reserved: Gauge,
    finished: Family<FinishedIn, Counter>,
    scheduled_runs: Family<Label, Counter>,
    clock_offsets: Family<Peer, Gauge<f64, AtomicU64>>,
}

fn terminal_states() -> impl Iterator<Item = TaskStateKind> {
    TaskStateKind::ALL.into_iter().filter(|state| state.is_terminal())
}

/// A histogram of times from seconds to weeks.
#[derive(Clone)]
pub(super) struct LongSeconds(Histogram);

impl LongSeconds {
    fn new() -> Self {
        Self(Histogram::new((0..20_u32).map(|power| f64::from(1_u32 << power))))
    }

    pub(super) fn observe(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

impl Leading {
    pub(super) fn new() -> Self {
        let leading = Self {
            heartbeats: Counter::default(),
            round: Seconds::default(),
            time_to_reconnect: LongSeconds::new(),
            worker_up: LongSeconds::new(),
            registration_to_connect: LongSeconds::new(),
            announcements_seconds: Seconds::default(),
            monitor_running: Gauge::default(),
            submit_to_start: Seconds::default(),
            disconnects: Family::default(),
            announcements: Family::default(),
            attempts: Counter::default(),
            successes: Counter::default(),
            failures: Counter::default(),
            ended: Family::default(),
            stale: Family::default(),
            dispatch_failures: Family::default(),
            given_ahead: Counter::default(),
            reserved: Gauge::default(),
            finished: Family::default(),
            scheduled_runs: Family::default(),
            clock_offsets: Family::default(),
        };

        for reason in DISPATCH_FAILURES {
            drop(leading.dispatch_failures.get_or_create(&Label("reason", reason)));
        }
        // So that each counter is there from the start.
        for outcome in AttemptOutcomeKind::ALL {
            drop(leading.ended.get_or_create(&Label("outcome", outcome.name())));
        }
        for state in terminal_states() {
            let labels = FinishedIn(state, QueueName::default());
            drop(leading.finished.get_or_create(&labels));
        }
        for reason in DISCONNECTS {
            drop(leading.disconnects.get_or_create(&Label("reason", reason)));
        }
        for outcome in [REACHED, FAILED] {
            drop(leading.announcements.get_or_create(&Label("outcome", outcome)));
        }
        leading.on_scheduled_runs(RunCounts::default());
        for kind in STALE_KINDS {
            drop(leading.stale.get_or_create(&Label("kind", kind)));
        }
        leading
    }

    pub(super) fn on_reconnect_ended(&self, reconnected: Reconnected, attempts: u32) {
        let counter = match reconnected {
            Reconnected::Yes => &self.successes,
            Reconnected::No => &self.failures,
        };
        counter.inc_by(u64::from(attempts));
    }

    pub(super) fn on_announced(&self, was_reached: bool) {
        let outcome = if was_reached { REACHED } else { FAILED };
        self.announcements.get_or_create(&Label("outcome", outcome)).inc();
    }

    /// Counts a worker that is not connected any more; `reason` is one of [`DISCONNECTS`].
    pub(super) fn on_disconnected(&self, reason: &'static str) {
        self.disconnects.get_or_create(&Label("reason", reason)).inc();
    }

    pub(super) fn on_stale(&self, kind: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.stale.get_or_create(&Label("kind", kind)).inc_by(count);
    }

    pub(super) fn on_dispatch_failed(&self, reason: &'static str) {
        self.dispatch_failures.get_or_create(&Label("reason", reason)).inc();
    }

    pub(super) fn on_given_ahead(&self, count: usize) {
        self.given_ahead.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn set_reserved(&self, count: usize) {
        self.reserved.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn on_attempt_ended(&self, outcome: AttemptOutcomeKind) {
        self.ended.get_or_create(&Label("outcome", outcome.name())).inc();
    }

    pub(super) fn on_task_finished(&self, state: TaskStateKind, queue: &QueueName) {
        self.finished.get_or_create(&FinishedIn(state, queue.clone())).inc();
    }

    /// Forgets what was counted of a queue, so that there are no more series than there are queues.
    pub(super) fn on_queue_deleted(&self, queue: &QueueName) {
        for state in terminal_states() {
            self.finished.remove(&FinishedIn(state, queue.clone()));
        }
    }

    pub(super) fn on_scheduled_runs(&self, counts: RunCounts) {
        let RunCounts { started, skipped, missed } = counts;
        for (outcome, count) in [("fired", started), ("skipped", skipped), ("missed", missed)] {
            self.scheduled_runs.get_or_create(&Label("outcome", outcome)).inc_by(count);
        }
    }

    pub(super) fn on_clock_offsets(&self, offsets: &BTreeMap<MasterId, i64>) {
        for (master, offset) in offsets {
            self.clock_offsets.get_or_create(&Peer(master.0)).set(seconds(*offset));
        }
    }

    pub(super) fn register(&self, to: &mut Registry) {
        let leading = self.clone();
        to.register("worker_heartbeats", "Heartbeats received", leading.heartbeats);
        to.register("reconnect_attempts", "Attempts to reach inactive workers", leading.attempts);
        to.register(
            "reconnect_successes",
            "Attempts after which a worker had registered",
            leading.successes,
        );
        to.register("reconnect_failures", "Attempts after which it had not", leading.failures);
        to.register("reconnect_round_seconds", "Time of one reconnection round", leading.round.0);
        to.register(
            "worker_time_to_reconnect_seconds",
            "Duration of workers' inactive periods",
            leading.time_to_reconnect.0,
        );
        to.register(
            "worker_up_seconds",
            "Duration of workers' active periods",
            leading.worker_up.0,
        );

        self.register_connections(to);
        to.register(
            "task_submit_to_start_seconds",
            "From a task's submission to the start of its first attempt",
            leading.submit_to_start.0,
        );
        to.register("attempts", "Attempts ended", leading.ended);
        to.register("tasks_finished", "Tasks that are over", leading.finished);
        to.register(
            "dispatch_failures",
            "Calls to workers that did not deliver all orders",
            leading.dispatch_failures,
        );
        to.register(
            "attempts_given_ahead",
            "Attempts given to workers ahead of the room for them",
            leading.given_ahead,
        );
        to.register(
            "workers_reserved",
            "Workers that are reserved for tasks that others have overtaken",
            leading.reserved,
        );
        to.register("schedule_runs", "Runs of schedules decided about", leading.scheduled_runs);
        to.register("stale_rejections", "Messages refused as outdated", leading.stale);
        to.register(
            "clock_offset_seconds",
            "Lead of a master's wall clock over the median of the voters'",
            leading.clock_offsets,
        );
    }

    fn register_connections(&self, to: &mut Registry) {
        let leading = self.clone();
        to.register(
            "worker_registration_to_connect_seconds",
            "From a worker's registration to its first connection",
            leading.registration_to_connect.0,
        );
        to.register(
            "worker_disconnects",
            "Workers that were not connected any more",
            leading.disconnects,
        );
        to.register(
            "reconnect_monitor_running",
            "1 while the reconnection monitor is running",
            leading.monitor_running,
        );
        to.register(
            "worker_announcements",
            "Active workers told of a new leader",
            leading.announcements,
        );
        to.register(
            "worker_announcements_seconds",
            "Time in which a new leader told all active workers",
            leading.announcements_seconds.0,
        );
    }
}
