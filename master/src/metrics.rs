//! Counts and times for Prometheus. Clones share everything; recording never waits.

mod http;
mod issuer;
mod leading;
mod process;
mod recorder;
mod refusals;
mod sample;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster_state::{MasterId, RunCounts, Timestamp};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use leading::{Reconnected, seconds};
pub(crate) use recorder::Recorder;
pub(crate) use refusals::Refused;
pub(crate) use sample::ClusterSample;

use self::http::HttpSeries;
use self::issuer::IssuerSeries;
use self::leading::Leading;
use self::process::ProcessCollector;
use self::refusals::Refusals;
use crate::port::{Closed, Port};

const PREFIX: &str = "cloudai";

/// Counters of events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    /// On every replica.
    registry: Registry,
    /// Only while leading.
    leader_registry: Registry,
    leading: Leading,
    everywhere: Everywhere,
}

/// Series of every replica.
#[derive(Clone)]
struct Everywhere {
    leader_changes: Counter,
    fsync: Seconds,
    batch_size: EntriesPerSync,
    commit: Seconds,
    apply: Seconds,
    waiting: Gauge,
    connections: Family<PortLabel, Gauge>,
    connections_closed: Family<ClosedLabels, Counter>,
    refusals: Refusals,
    issuer: IssuerSeries,
    monitor_enabled: Gauge,
    backup_interval: Gauge<f64, AtomicU64>,
    backup_failures: Counter,
    /// Milliseconds since the epoch; 0 when this master saves none.
    backup_saved_at: Arc<AtomicU64>,
    http: HttpSeries,
}

impl Everywhere {
    fn new() -> Self {
        Self {
            leader_changes: Counter::default(),
            fsync: Seconds::default(),
            batch_size: EntriesPerSync::default(),
            commit: Seconds::default(),
            apply: Seconds::default(),
            waiting: Gauge::default(),
            connections: Family::default(),
            connections_closed: counted_from_zero(),
            refusals: Refusals::new(),
            issuer: IssuerSeries::default(),
            monitor_enabled: Gauge::default(),
            backup_interval: Gauge::default(),
            backup_failures: Counter::default(),
            backup_saved_at: Arc::default(),
            http: HttpSeries::new(),
        }
    }
}

/// A series that is there before the first of its kind shows that there was none.
fn counted_from_zero() -> Family<ClosedLabels, Counter> {
    let closed = Family::default();
    for port in [Port::Http, Port::Grpc] {
        for reason in Closed::ALL {
            drop(closed.get_or_create(&closed_labels(port, reason)));
        }
    }
    closed
}

const fn closed_labels(port: Port, reason: Closed) -> ClosedLabels {
    [("port", port.name()), ("reason", reason.name())]
}

/// A histogram of times.
#[derive(Clone, Debug)]
struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(seconds_buckets()))
    }
}

impl Seconds {
    fn observe(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

/// A histogram of how many entries one sync made durable.
#[derive(Clone, Debug)]
struct EntriesPerSync(Histogram);

impl Default for EntriesPerSync {
    fn default() -> Self {
        Self(Histogram::new((0..14).map(|power| f64::from(1_u32 << power))))
    }
}

/// From 100 µs, below any synced write, to 26 s, above any timeout, in steps of two.
fn seconds_buckets() -> impl Iterator<Item = f64> {
    (0..19_u32).map(|power| 0.000_1 * f64::from(1_u32 << power))
}

type PortLabel = [(&'static str, &'static str); 1];
type ClosedLabels = [(&'static str, &'static str); 2];

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub(crate) fn new() -> Self {
        let everywhere = Everywhere::new();
        let leading = Leading::new();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector::new()));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let build = Family::<[(&str, &str); 1], Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        // A gauge and not an info metric, which older scrapers refuse with everything beside it.
        ours.register("build_info", "The release that runs, as a label", build);
        everywhere.register(ours);
        let mut leader_registry = Registry::with_prefix(PREFIX);
        leading.register(&mut leader_registry);
        Self { shared: Arc::new(Shared { registry, leader_registry, leading, everywhere }) }
    }

    /// Everything as text: the series that only a leader has are there only with a sample of one.
    pub(crate) fn encode(&self, sample: ClusterSample) -> Result<String, fmt::Error> {
        let is_leading = sample.is_leading();
        let mut sampled = Registry::with_prefix(PREFIX);
        sampled.register_collector(Box::new(sample));

        let mut text = String::new();
        encode_registry(&mut text, &self.shared.registry)?;
        encode_registry(&mut text, &sampled)?;
        if is_leading {
            encode_registry(&mut text, &self.shared.leader_registry)?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// This master saves backups that far apart.
    pub(crate) fn set_backup_interval(&self, interval: Duration) {
        self.shared.everywhere.backup_interval.set(interval.as_secs_f64());
    }

    /// A backup was saved.
    pub(crate) fn on_backup_saved(&self, at: Timestamp) {
        self.shared.everywhere.backup_saved_at.store(at.0, Ordering::Relaxed);
    }

    /// A backup was not saved.
    pub(crate) fn on_backup_failed(&self) {
        self.shared.everywhere.backup_failures.inc();
    }

    /// Returns the time of the last backup; none when this master saves none.
    pub(crate) fn backup_saved_at(&self) -> Option<Timestamp> {
        let at = self.shared.everywhere.backup_saved_at.load(Ordering::Relaxed);
        (at > 0).then_some(Timestamp(at))
    }

    /// Another master, or none, began to lead.
    pub(crate) fn on_leader_changed(&self) {
        self.shared.everywhere.leader_changes.inc();
    }

    /// The log was synced: how long it took, and how many entries that made durable.
    pub(crate) fn on_synced(&self, took: Duration, entries: u64) {
        self.shared.everywhere.fsync.observe(took);
        // Counts of entries stay far below where a float rounds.
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        self.shared.everywhere.batch_size.0.observe(f64::from(entries));
    }

    /// A proposal of this master was committed and applied.
    pub(crate) fn on_committed(&self, took: Duration) {
        self.shared.everywhere.commit.observe(took);
    }

    /// Entries were applied in one go.
    pub(crate) fn on_applied(&self, took: Duration) {
        self.shared.everywhere.apply.observe(took);
    }

    /// A request waits for something to happen.
    pub(crate) fn on_wait_began(&self) {
        self.shared.everywhere.waiting.inc();
    }

    /// A request that waited does so no longer.
    pub(crate) fn on_wait_ended(&self) {
        self.shared.everywhere.waiting.dec();
    }

    /// Somebody connected to a port.
    pub(crate) fn on_connection_opened(&self, port: Port) {
        self.shared.everywhere.connections.get_or_create(&[("port", port.name())]).inc();
    }

    /// A connection to a port has ended.
    pub(crate) fn on_connection_ended(&self, port: Port) {
        self.shared.everywhere.connections.get_or_create(&[("port", port.name())]).dec();
    }

    /// A connection was closed by this master.
    pub(crate) fn on_connection_closed(&self, port: Port, reason: Closed) {
        let labels = closed_labels(port, reason);
        self.shared.everywhere.connections_closed.get_or_create(&labels).inc();
    }

    /// A worker's heartbeat arrived.
    pub(crate) fn on_heartbeat(&self) {
        self.shared.leading.heartbeats.inc();
    }

    /// An attempt to reach a worker was made.
    pub(crate) fn on_reconnect_attempt(&self) {
        self.shared.leading.attempts.inc();
    }

    /// It is known what came of so many attempts.
    pub(crate) fn on_reconnect_ended(&self, reconnected: Reconnected, attempts: u32) {
        self.shared.leading.on_reconnect_ended(reconnected, attempts);
    }

    /// A round over the inactive workers ended.
    pub(crate) fn on_reconnect_round(&self, took: Duration) {
        self.shared.leading.round.observe(took);
    }

    /// Records whether this master would run the reconnection monitor if it led.
    pub(crate) fn set_reconnect_enabled(&self, is_enabled: bool) {
        self.shared.everywhere.monitor_enabled.set(i64::from(is_enabled));
    }

    /// Notes whether the reconnection monitor contacts inactive workers.
    pub(crate) fn on_reconnect_monitor(&self, is_running: bool) {
        self.shared.leading.monitor_running.set(i64::from(is_running));
    }

    /// An active worker was told of its new leader, or was not to be reached.
    pub(crate) fn on_announced(&self, was_reached: bool) {
        self.shared.leading.on_announced(was_reached);
    }

    /// Notes that a new leader has contacted every active worker.
    pub(crate) fn on_announcements_completed(&self, took: Duration) {
        self.shared.leading.announcements_seconds.observe(took);
    }

    /// So many things came from somebody who has been replaced; `kind` is one of a few words.
    pub(crate) fn on_stale(&self, kind: &'static str, count: usize) {
        self.shared.leading.on_stale(kind, count);
    }

    /// So many attempts were given to workers ahead of the room for them.
    pub(crate) fn on_given_ahead(&self, count: usize) {
        self.shared.leading.on_given_ahead(count);
    }

    /// So many workers are reserved for tasks.
    pub(crate) fn set_reserved(&self, count: usize) {
        self.shared.leading.set_reserved(count);
    }

    /// A call to a worker did not achieve all that it was to; `reason` is one of a few words.
    pub(crate) fn on_dispatch_failed(&self, reason: &'static str) {
        self.shared.leading.on_dispatch_failed(reason);
    }

    /// By how many milliseconds each master's wall clock is ahead of the median.
    /// Counts runs of schedules by what became of them.
    pub(crate) fn on_scheduled_runs(&self, counts: RunCounts) {
        self.shared.leading.on_scheduled_runs(counts);
    }

    pub(crate) fn on_clock_offsets(&self, offsets: &BTreeMap<MasterId, i64>) {
        self.shared.leading.on_clock_offsets(offsets);
    }
}

impl Everywhere {
    fn register(&self, to: &mut Registry) {
        let Self {
            leader_changes,
            fsync,
            batch_size,
            commit,
            apply,
            waiting,
            connections,
            connections_closed,
            refusals,
            issuer,
            monitor_enabled,
            backup_interval,
            backup_failures,
            backup_saved_at: _,
            http,
        } = self.clone();

        to.register("raft_leader_changes", "Changes of leader seen", leader_changes);
        to.register("raft_fsync_seconds", "Time of one sync of the log", fsync.0);
        to.register("raft_batch_size", "Entries made durable by one sync", batch_size.0);
        to.register("raft_commit_seconds", "From proposal to its application", commit.0);
        to.register("raft_apply_seconds", "Time to apply one batch of entries", apply.0);

        let help = "Time between two scheduled backups; 0 when this master saves none";
        to.register("backup_interval_seconds", help, backup_interval);
        to.register("backup_failures", "Scheduled backups that failed", backup_failures);
        to.register("waiting_requests", "Requests that wait for an event", waiting);
        to.register("connections", "Connections that others hold open", connections);
        let help = "Connections closed for want of room, or because of what their peer did";
        to.register("connections_closed", help, connections_closed);
        refusals.register(to);
        issuer.register(to);
        to.register(
            "reconnect_monitor_enabled",
            "1 where reconnect.enabled is set",
            monitor_enabled,
        );
        http.register(to);
    }
}

#[cfg(test)]
mod tests;
