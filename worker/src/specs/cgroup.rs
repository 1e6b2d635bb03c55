//! Reads the limits of a control group: a worker in a container offers no more than they allow.

use std::fs;
use std::path::Path;

/// Limits of a process; a figure is absent where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Limits {
    /// Processor time per time.
    pub(super) cpu: Option<f64>,
    /// Memory in bytes.
    pub(super) memory_bytes: Option<u64>,
}

impl Limits {
    /// Reads the limits of this process.
    #[must_use]
    pub(super) fn of_this_process() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(&groups, Path::new("/sys/fs/cgroup"))
    }

    /// Reads the limits of a process with these groups (as in `/proc/PID/cgroup`), whose files are
    /// under `mount`. Limits of outer groups hold too. A group that is not under the mount is one
    /// of the host's, seen from a container: then the mount itself is the container's group.
    fn of(groups: &str, mount: &Path) -> Self {
        let mut limits = Self::default();
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            for controller in controllers.split(',') {
                match controller {
                    "" => limits.tighten(mount, path, v2),
                    "cpu" => limits.tighten(&mount.join(controller), path, v1_cpu),
                    "memory" => limits.tighten(&mount.join(controller), path, v1_memory),
                    _ => {}
                }
            }
        }
        limits
    }

    fn tighten(&mut self, mount: &Path, group: &str, read: fn(&Path) -> Self) {
        let group = mount.join(group.trim_start_matches('/'));
        for dir in group.ancestors().take_while(|dir| dir.starts_with(mount)) {
            let Self { cpu, memory_bytes } = read(dir);
            self.cpu = [self.cpu, cpu].into_iter().flatten().reduce(f64::min);
            self.memory_bytes = self.memory_bytes.into_iter().chain(memory_bytes).min();
        }
    }
}

fn v2(dir: &Path) -> Limits {
    let cpu = fs::read_to_string(dir.join("cpu.max")).ok().and_then(|text| {
        let (quota, period) = text.trim().split_once(' ')?;
        ratio(quota, period)
    });
    Limits { cpu, memory_bytes: number(&dir.join("memory.max")) }
}

fn v1_cpu(dir: &Path) -> Limits {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let cpu = ratio(read("cpu.cfs_quota_us").trim(), read("cpu.cfs_period_us").trim());
    Limits { cpu, memory_bytes: None }
}

fn v1_memory(dir: &Path) -> Limits {
    Limits { cpu: None, memory_bytes: number(&dir.join("memory.limit_in_bytes")) }
}

/// Parses a quota; a text that is not a number (`max`, `-1`) means no limit.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<u32>().ok()?, period.parse::<u32>().ok()?);
    (quota > 0 && period > 0).then(|| f64::from(quota) / f64::from(period))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a mount with these files.
    fn mount(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        mount
    }

    #[test]
    fn the_tightest_of_all_outer_groups_counts() {
        let mount = mount(&[
            ("pod/cpu.max", "150000 100000\n"),
            ("pod/memory.max", "max\n"),
            ("pod/worker/cpu.max", "max 100000\n"),
            ("pod/worker/memory.max", "1073741824\n"),
        ]);
        let limits = Limits::of("0::/pod/worker\n", mount.path());
        assert_eq!(limits, Limits { cpu: Some(1.5), memory_bytes: Some(1 << 30) });
    }

    #[test]
    fn a_group_of_the_host_is_looked_for_where_the_container_sees_its_own() {
        let mount = mount(&[("cpu.max", "50000 100000\n"), ("memory.max", "1048576\n")]);
        let limits = Limits::of("0::/docker/0123\n", mount.path());
        assert_eq!(limits, Limits { cpu: Some(0.5), memory_bytes: Some(1 << 20) });
    }

    #[test]
    fn the_first_version_keeps_a_tree_for_each_controller() {
        let mount = mount(&[
            ("cpu/a/cpu.cfs_quota_us", "250000\n"),
            ("cpu/a/cpu.cfs_period_us", "100000\n"),
            ("memory/b/memory.limit_in_bytes", "2097152\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let groups = "9:name=systemd:/\n4:memory:/b\n2:cpu,cpuacct:/a\n0::/\n";
        let limits = Limits::of(groups, mount.path());
        assert_eq!(limits, Limits { cpu: Some(2.5), memory_bytes: Some(2 << 20) });
    }

    #[test]
    fn without_limits_there_are_none() {
        let mount = mount(&[
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu.max", "max 100000\n"),
        ]);
        assert_eq!(Limits::of("2:cpu:/\n0::/\nnonsense\n", mount.path()), Limits::default());
    }
}
