//! The resource usage that workers report: recent samples of each session, in the leader's memory.
//!
//! Pure but for a channel to watchers: time comes in with the samples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster_state::{Epoch, Fingerprint, Timestamp, WorkerId};
use parking_lot::{Mutex, MutexGuard};
use proto::convert;
use proto::v1;
use tokio::sync::broadcast;

/// Samples kept for each worker, the latest included: five minutes at one heartbeat every five
/// seconds, in two kilobytes.
const SAMPLES_KEPT_MAX: usize = 60;
/// Samples by which a slow watcher may lag before it loses the oldest.
const WATCHED_MAX: usize = 4_096;

/// Usage reported by one heartbeat, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    at: Timestamp,
    cpu: f32,
    memory: f32,
    storage: f32,
    gpu: f32,
    running_tasks: u32,
}

impl Sample {
    /// Reads a worker's report. Figures are clamped to 0 to 100; a report with one that is not
    /// finite is dropped.
    #[must_use]
    fn of(reported: &v1::WorkerUsage, running_tasks: u32, at: Timestamp) -> Option<Self> {
        Some(Self {
            at,
            cpu: percent(reported.cpu_percent)?,
            memory: percent(reported.memory_percent)?,
            storage: percent(reported.storage_percent)?,
            gpu: percent(reported.gpu_percent)?,
            running_tasks,
        })
    }

    fn to_wire(self, worker: &WorkerId) -> v1::UsageSample {
        v1::UsageSample {
            worker_id: worker.to_string(),
            timestamp: convert::rfc3339(self.at),
            cpu: rounded(self.cpu),
            memory: rounded(self.memory),
            storage: rounded(self.storage),
            gpu: rounded(self.gpu),
            running_tasks: self.running_tasks,
        }
    }
}

/// Reads a percentage.
#[expect(clippy::cast_possible_truncation, reason = "0 to 100 fits, at a few digits' precision")]
fn percent(figure: f64) -> Option<f32> {
    figure.is_finite().then(|| figure.clamp(0.0, 100.0) as f32)
}

/// Rounds to hundredths: further digits come from the binary form.
fn rounded(figure: f32) -> f64 {
    (f64::from(figure) * 100.0).round() / 100.0
}

/// The samples of one session.
#[derive(Debug)]
struct Series {
    epoch: Epoch,
    samples: VecDeque<Sample>,
    /// End of the worker's certificate, if it has one.
    certificate_end: Option<Timestamp>,
    trust: WorkerTrust,
}

/// Report of a worker about trust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WorkerTrust {
    /// Version of what it trusts; zero while it has not asked.
    pub(crate) version: u64,
    /// Root that vouches for its certificate.
    pub(crate) root: Option<Fingerprint>,
}

impl WorkerTrust {
    fn of(heartbeat: &v1::HeartbeatRequest) -> Self {
        let root = Fingerprint::try_from(heartbeat.certificate_root.as_ref()).ok();
        Self { version: heartbeat.trust_version, root }
    }
}

/// The samples of all sessions.
#[derive(Debug, Default)]
struct UsageTable {
    workers: BTreeMap<WorkerId, Series>,
}

impl UsageTable {
    /// Keeps a sample of the session of that epoch, and drops those of an earlier session.
    fn record(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        sample: Sample,
        certificate_end: Option<Timestamp>,
    ) {
        let series = match self.workers.get_mut(worker) {
            Some(series) => series,
            None => {
                let samples = VecDeque::new();
                let trust = WorkerTrust::default();
                let series = Series { epoch, samples, certificate_end, trust };
                self.workers.entry(worker.clone()).or_insert(series)
            }
        };
        series.certificate_end = certificate_end;
        if series.epoch != epoch {
            series.epoch = epoch;
            series.samples.clear();
        }
        while series.samples.len() >= SAMPLES_KEPT_MAX {
            series.samples.pop_front();
        }
        series.samples.push_back(sample);
    }

    /// Drops the samples of a session that is over.
    fn forget(&mut self, worker: &WorkerId) {
        self.workers.remove(worker);
    }

    /// Returns the samples of the session of that epoch.
    #[must_use]
    fn metrics(&self, worker: &WorkerId, epoch: Epoch) -> Option<v1::WorkerMetrics> {
        let series = self.workers.get(worker).filter(|series| series.epoch == epoch)?;
        Some(v1::WorkerMetrics {
            worker_id: worker.to_string(),
            latest: series.samples.back().map(|sample| sample.to_wire(worker)),
            history: series.samples.iter().map(|sample| sample.to_wire(worker)).collect(),
        })
    }
}

/// The samples of all sessions, and their watchers, whose streams end with the term.
#[derive(Debug)]
pub(crate) struct Usage {
    table: Mutex<UsageTable>,
    watchers: broadcast::Sender<Arc<v1::UsageSample>>,
}

impl Default for Usage {
    fn default() -> Self {
        Self { table: Mutex::default(), watchers: broadcast::Sender::new(WATCHED_MAX) }
    }
}

impl Usage {
    /// Keeps the report of a heartbeat of the session of that epoch, and passes it on.
    pub(crate) fn on_heartbeat(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        heartbeat: &v1::HeartbeatRequest,
        now: Timestamp,
    ) {
        let reported = heartbeat.usage.as_ref();
        let sample = reported.and_then(|usage| Sample::of(usage, heartbeat.running_tasks, now));
        if let Some(sample) = sample {
            let seconds = heartbeat.certificate_not_after;
            let end = seconds.map(|seconds| Timestamp(seconds.saturating_mul(1_000)));
            self.record(worker, epoch, sample, end);
            if let Some(series) = self.table().workers.get_mut(worker) {
                series.trust = WorkerTrust::of(heartbeat);
            }
        }
    }

    /// Returns what a worker trusts, as its last heartbeat of the session of that epoch said.
    #[must_use]
    pub(crate) fn trust(&self, worker: &WorkerId, epoch: Epoch) -> Option<WorkerTrust> {
        let table = self.table();
        let series = table.workers.get(worker).filter(|series| series.epoch == epoch)?;
        Some(series.trust)
    }

    fn record(&self, worker: &WorkerId, epoch: Epoch, sample: Sample, end: Option<Timestamp>) {
        self.table().record(worker, epoch, sample, end);
        if self.watchers.receiver_count() > 0 {
            // Fails when the last watcher has just left.
            self.watchers.send(Arc::new(sample.to_wire(worker))).ok();
        }
    }

    /// Drops the samples of a worker whose session is over.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.table().forget(worker);
    }

    /// Returns the samples of a worker's session; nothing before its first report.
    #[must_use]
    pub(crate) fn metrics(&self, worker: &WorkerId, epoch: Epoch) -> Option<v1::WorkerMetrics> {
        self.table().metrics(worker, epoch)
    }

    /// Returns the end of a worker's certificate, as its last heartbeat said.
    #[must_use]
    pub(crate) fn certificate_end(&self, worker: &WorkerId) -> Option<Timestamp> {
        self.table().workers.get(worker)?.certificate_end
    }

    /// Returns the earliest end of a certificate among all workers that have a session.
    #[must_use]
    pub(crate) fn first_certificate_end(&self) -> Option<Timestamp> {
        self.table().workers.values().filter_map(|series| series.certificate_end).min()
    }

    /// Watches every sample of every worker from now on.
    #[must_use]
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<v1::UsageSample>> {
        self.watchers.subscribe()
    }

    fn table(&self) -> MutexGuard<'_, UsageTable> {
        self.table.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> WorkerId {
        "w1".parse().unwrap()
    }

    fn reported(cpu_percent: f64) -> v1::WorkerUsage {
        let (memory_percent, storage_percent) = (40.1, 3.0);
        v1::WorkerUsage { cpu_percent, memory_percent, storage_percent, gpu_percent: 0.0 }
    }

    fn sample(number: u64) -> Sample {
        Sample::of(&reported(12.5), u32::try_from(number).unwrap(), Timestamp(number)).unwrap()
    }

    #[test]
    fn the_recent_past_is_kept_and_no_more() {
        let mut table = UsageTable::default();
        for number in 0..200 {
            table.record(&worker(), Epoch(1), sample(number), None);
        }
        let metrics = table.metrics(&worker(), Epoch(1)).unwrap();
        assert_eq!(metrics.history.len(), SAMPLES_KEPT_MAX);
        assert_eq!(metrics.history[0].running_tasks, 140);
        assert_eq!(metrics.latest.as_ref(), metrics.history.last());
        assert_eq!(metrics.latest.unwrap().running_tasks, 199);
    }

    #[test]
    fn the_samples_of_a_session_end_with_it() {
        let mut table = UsageTable::default();
        table.record(&worker(), Epoch(1), sample(1), None);
        assert!(table.metrics(&worker(), Epoch(2)).is_none());
        table.record(&worker(), Epoch(2), sample(2), None);
        assert_eq!(table.metrics(&worker(), Epoch(2)).unwrap().history.len(), 1);
        table.forget(&worker());
        assert!(table.metrics(&worker(), Epoch(2)).is_none());
    }

    #[test]
    fn ten_thousand_workers_take_little_memory() {
        let mut table = UsageTable::default();
        for number in 0..200 {
            table.record(&worker(), Epoch(1), sample(number), None);
        }
        let samples = table.workers[&worker()].samples.capacity();
        assert!(samples * size_of::<Sample>() <= 4_096, "{samples} samples");
    }

    #[test]
    fn a_worker_that_lies_poisons_nothing() {
        let cpu = |figure: f64| {
            let sample = Sample::of(&reported(figure), 0, Timestamp(0))?;
            Some(sample.to_wire(&worker()).cpu)
        };
        assert_eq!(cpu(f64::NAN), None);
        assert_eq!(cpu(f64::INFINITY), None);
        assert_eq!(cpu(-1e300), Some(0.0));
        assert_eq!(cpu(1e300), Some(100.0));
        assert_eq!(cpu(40.1), Some(40.1));
    }

    #[test]
    fn a_watcher_gets_every_sample_from_its_first_look_on() {
        let usage = Usage::default();
        usage.record(&worker(), Epoch(1), sample(1), None);
        let mut watcher = usage.watch();
        usage.record(&worker(), Epoch(1), sample(2), None);
        assert_eq!(watcher.try_recv().unwrap().running_tasks, 2);
        assert!(watcher.try_recv().is_err());
    }

    #[test]
    fn the_end_of_a_certificate_is_what_the_last_heartbeat_said() {
        let usage = Usage::default();
        let other = "w2".parse().unwrap();
        let heard = |worker: &WorkerId, epoch, certificate_not_after| {
            let reported = Some(reported(1.0));
            let heartbeat = v1::HeartbeatRequest {
                usage: reported,
                certificate_not_after,
                ..v1::HeartbeatRequest::default()
            };
            usage.on_heartbeat(worker, Epoch(epoch), &heartbeat, Timestamp(7));
        };
        heard(&worker(), 1, Some(90));
        heard(&other, 1, Some(80));
        assert_eq!(usage.certificate_end(&worker()), Some(Timestamp(90_000)));
        assert_eq!(usage.first_certificate_end(), Some(Timestamp(80_000)));
        // It was replaced, and the other worker is gone.
        heard(&worker(), 1, Some(u64::MAX));
        usage.forget(&other);
        assert_eq!(usage.first_certificate_end(), Some(Timestamp(u64::MAX)));
        heard(&worker(), 2, None);
        assert_eq!(usage.first_certificate_end(), None);
    }
}
