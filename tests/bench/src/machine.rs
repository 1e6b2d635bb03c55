//! The machine, and what else ran on it.

use std::fs;
use std::time::Instant;

/// Describes the machine in one line.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.and_then(|rest| rest.split_once(':')).map_or("unknown CPU", |(_, m)| m.trim());
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|n| n.parse().ok());
    let gib = kib.unwrap_or(0_u64) >> 20;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores ({model}), {gib} GiB of memory, all processes on this one machine")
}

/// CPU time in clock ticks (100 per second on Linux).
fn busy_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let fields = fields.filter_map(|field| field.parse::<u64>().ok()).collect::<Vec<_>>();
    // user, nice, system, then idle and waiting, then interrupts and time stolen by the host.
    let idle = fields.iter().skip(3).take(2).sum::<u64>();
    fields.iter().take(8).sum::<u64>().saturating_sub(idle)
}

fn ticks_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().collect::<Vec<_>>();
    fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Watches what processes other than the measured ones use.
#[derive(Debug)]
pub(crate) struct CpuWatch {
    pids: Vec<u32>,
    began: Instant,
    busy: u64,
    ours: u64,
}

impl CpuWatch {
    /// Starts watching; `pids` and this process are ours.
    pub(crate) fn start(pids: impl IntoIterator<Item = u32>) -> Self {
        let pids = pids.into_iter().chain([std::process::id()]).collect::<Vec<_>>();
        let ours = pids.iter().map(|pid| ticks_of(*pid)).sum();
        Self { pids, began: Instant::now(), busy: busy_ticks(), ours }
    }

    /// Returns the processor time of other processes since, in percent of one core.
    #[expect(clippy::cast_precision_loss, reason = "ticks of seconds, far below 2^52")]
    pub(crate) fn others(&self) -> f64 {
        let ours = self.pids.iter().map(|pid| ticks_of(*pid)).sum::<u64>();
        let busy = busy_ticks().saturating_sub(self.busy);
        let others = busy.saturating_sub(ours.saturating_sub(self.ours));
        others as f64 / self.began.elapsed().as_secs_f64()
    }
}
