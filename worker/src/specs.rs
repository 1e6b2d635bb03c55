//! Detects the machine's resources and measures their use.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Resources, Specs};
use nix::sys::statvfs::{Statvfs, statvfs};
use parking_lot::Mutex;
use proto::convert::Invalid;
use proto::v1;
use sysinfo::System;
use tokio::time::timeout;

use crate::config::Config;

mod cgroup;

const MIB: u64 = 1 << 20;
/// Limit of a measurement: it takes some milliseconds, and heartbeats do not wait longer for it.
const MEASUREMENT_MAX: Duration = Duration::from_millis(500);

/// Use in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Use of all processors since the last measurement.
    pub(crate) cpu: f64,
    pub(crate) memory: f64,
    /// Use of the disk that holds the data directory.
    pub(crate) storage: f64,
}

/// Measures the use of the machine.
#[derive(Debug)]
pub(crate) struct UsageMeter {
    /// None where the system does not tell.
    system: Arc<Mutex<Option<System>>>,
    data_dir: PathBuf,
    last: Usage,
}

/// Detects the resources to offer besides devices: those that the operator named, and for the rest those
/// of the machine.
pub(crate) fn detect(config: &Config, attempts_max: usize) -> Result<Specs, Invalid> {
    let limits = cgroup::Limits::of_this_process();
    let total = v1::Resources {
        cpu: Some(config.cpu.unwrap_or_else(|| cpu_count(limits.cpu))),
        memory_mb: Some(config.memory_mb.unwrap_or_else(|| memory_mb(limits.memory_bytes))),
        storage_mb: Some(config.storage_mb.unwrap_or_else(|| storage_mb(&config.data_dir))),
        ..v1::Resources::default()
    };
    let total: Resources = total.try_into()?;
    let slots = u64::try_from(attempts_max).unwrap_or(u64::MAX);
    Ok(Specs {
        total: Resources { slots: slots.min(Resources::SLOTS_UNBOUNDED), ..total },
        labels: config.labels.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

impl UsageMeter {
    /// Begins to measure.
    #[must_use]
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self { system: Arc::new(Mutex::new(system)), data_dir, last: Usage::default() }
    }

    /// Returns the present usage, or the last one while a measurement does not finish, as on a disk
    /// that hangs.
    pub(crate) async fn read(&mut self) -> Usage {
        let (system, data_dir) = (Arc::clone(&self.system), self.data_dir.clone());
        let measurement = tokio::task::spawn_blocking(move || {
            let mut system = system.try_lock()?;
            Some(measure(system.as_mut(), &data_dir))
        });
        if let Ok(Ok(Some(usage))) = timeout(MEASUREMENT_MAX, measurement).await {
            self.last = usage;
        }
        self.last
    }
}

/// Measures the usage. It blocks.
fn measure(system: Option<&mut System>, data_dir: &Path) -> Usage {
    let (cpu, memory) = match system {
        Some(system) => {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let memory = percent(system.used_memory(), system.total_memory());
            (f64::from(system.global_cpu_usage()), memory)
        }
        None => (0.0, 0.0),
    };
    Usage {
        cpu,
        memory,
        storage: statvfs(data_dir).map_or(0.0, |disk| {
            percent(disk.blocks().saturating_sub(disk.blocks_free()), disk.blocks())
        }),
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Returns the processors that this process may run on, or the share of them that it gets.
fn cpu_count(limit: Option<f64>) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = allowed_processors(&status).unwrap_or_else(|| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        u32::try_from(count).unwrap_or(1)
    });
    let count = limit.map_or(f64::from(allowed), |limit| limit.min(f64::from(allowed)));
    ((count * 1_000.0).floor() / 1_000.0).max(0.001)
}

/// Counts the processors in a list like `0-3,8` in the status of a process.
pub(crate) fn allowed_processors(status: &str) -> Option<u32> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut sizes = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    sizes.try_fold(0_u32, |sum, size| sum.checked_add(size?)).filter(|count| *count > 0)
}

fn memory_mb(limit: Option<u64>) -> u64 {
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_memory();
    limit.unwrap_or(u64::MAX).min(system.total_memory()) / MIB
}

fn storage_mb(data_dir: &Path) -> u64 {
    let available = |disk: Statvfs| disk.blocks_available().saturating_mul(disk.fragment_size());
    statvfs(data_dir).map_or(0, available) / MIB
}

/// Returns the size of the disk that holds a directory.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    statvfs(dir).map_or(0, |disk| disk.blocks().saturating_mul(disk.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_processors_memory_and_disk() {
        assert!(cpu_count(None) >= 1.0);
        assert!(memory_mb(None) > 0);
        assert!(storage_mb(Path::new("/tmp")) > 0);
    }

    #[test]
    fn a_container_offers_what_it_may_use() {
        assert_eq!((cpu_count(Some(0.123_456)), memory_mb(Some(5 * MIB))), (0.123, 5));
        let machine = (cpu_count(None), memory_mb(None));
        assert_eq!((cpu_count(Some(1e6)), memory_mb(Some(u64::MAX))), machine);
    }

    #[test]
    fn processors_are_counted_in_ranges() {
        let count = |list: &str| allowed_processors(&format!("a: b\nCpus_allowed_list:\t{list}\n"));
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("7"), Some(1));
        assert_eq!((count("3-1"), count(""), allowed_processors("")), (None, None, None));
    }

    #[tokio::test]
    async fn usage_is_a_percentage() {
        let Usage { cpu, memory, storage } = UsageMeter::new("/tmp".into()).read().await;
        for figure in [cpu, memory, storage] {
            assert!((0.0..=100.0).contains(&figure), "{figure}");
        }
    }
}
