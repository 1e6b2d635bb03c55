//! What this machine has, and how much of it is in use.

use std::fs;
use std::path::{Path, PathBuf};

use cluster_state::Specs;
use nix::sys::statvfs::{Statvfs, statvfs};
use proto::convert::Invalid;
use proto::v1;
use sysinfo::System;

use crate::config::Config;

const MIB: u64 = 1 << 20;

/// How much is in use, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Of all processors, since the last look.
    pub(crate) cpu: f64,
    /// Of the memory.
    pub(crate) memory: f64,
    /// Of the disk that holds the data directory.
    pub(crate) storage: f64,
}

/// Looks at how much is in use.
#[derive(Debug)]
pub(crate) struct UsageMeter {
    /// None where the system does not tell.
    system: Option<System>,
    data_dir: PathBuf,
}

/// What the worker offers: what the operator said, and for the rest what is found.
pub(crate) fn detect(config: &Config) -> Result<Specs, Invalid> {
    let total = v1::Resources {
        cpu: Some(config.cpu.unwrap_or_else(cpu_count)),
        memory_mb: Some(config.memory_mb.unwrap_or_else(memory_mb)),
        storage_mb: Some(config.storage_mb.unwrap_or_else(|| storage_mb(&config.data_dir))),
        gpu: Some(config.gpu.unwrap_or_else(gpu_count)),
        ..v1::Resources::default()
    };
    Ok(Specs {
        total: total.try_into()?,
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
        Self { system, data_dir }
    }

    /// Usage now.
    pub(crate) fn read(&mut self) -> Usage {
        let (cpu, memory) = match &mut self.system {
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
            storage: statvfs(&self.data_dir).map_or(0.0, |disk| {
                percent(disk.blocks().saturating_sub(disk.blocks_free()), disk.blocks())
            }),
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Respects the limit of a container.
fn cpu_count() -> f64 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(count).map_or(1.0, f64::from)
}

fn memory_mb() -> u64 {
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_memory();
    let machine = system.total_memory();
    system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine)) / MIB
}

fn storage_mb(data_dir: &Path) -> u64 {
    let available = |disk: Statvfs| disk.blocks_available().saturating_mul(disk.fragment_size());
    statvfs(data_dir).map_or(0, available) / MIB
}

fn gpu_count() -> u64 {
    let devices = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten();
    u64::try_from(devices.flatten().count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_processors_memory_and_disk() {
        assert!(cpu_count() >= 1.0);
        assert!(memory_mb() > 0);
        assert!(storage_mb(Path::new("/tmp")) > 0);
    }

    #[test]
    fn usage_is_a_percentage() {
        let Usage { cpu, memory, storage } = UsageMeter::new("/tmp".into()).read();
        for figure in [cpu, memory, storage] {
            assert!((0.0..=100.0).contains(&figure), "{figure}");
        }
    }
}
