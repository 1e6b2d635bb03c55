//! The process as its operating system sees it, under the names that Prometheus clients share.

use std::fmt;
use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Linux reports start times in this unit on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc` at each scrape, and leaves out figures that cannot be read.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    started_at: Option<f64>,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        Self { started_at: started_at() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let busy = seconds(usage.user_time()) + seconds(usage.system_time());
            counter(&mut encoder, "process_cpu_seconds", "Processor time used", busy)?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Memory in use", resident_bytes()),
            ("process_virtual_memory_bytes", "Address space in use", virtual_bytes()),
            ("process_open_fds", "Open file descriptors", open_files()),
            ("process_max_fds", "File descriptors that may be open", files_max()),
            ("process_threads", "Threads", status_field("Threads:")),
            ("process_start_time_seconds", "Start, since the Unix epoch", self.started_at),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, value)?;
            }
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn seconds(time: TimeVal) -> f64 {
    let micros = i32::try_from(time.tv_usec()).unwrap_or(0);
    let whole = u32::try_from(time.tv_sec()).unwrap_or(0);
    f64::from(whole) + f64::from(micros) / 1e6
}

fn resident_bytes() -> Option<f64> {
    status_field("VmRSS:").map(|kibibytes| kibibytes * 1024.0)
}

fn virtual_bytes() -> Option<f64> {
    status_field("VmSize:").map(|kibibytes| kibibytes * 1024.0)
}

/// Returns the limit of open files; none where there is no limit.
fn files_max() -> Option<f64> {
    let soft = daemon::open_files::soft_limit().ok()?;
    u32::try_from(soft).ok().map(f64::from)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

/// Returns the number behind a name in `/proc/self/status`.
fn status_field(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn started_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; the start time is the 20th field behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + ticks / TICKS_PER_SECOND)
}
