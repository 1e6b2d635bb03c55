//! Control groups of attempts (version 2): limits of processors and memory, one signal for all
//! processes of an attempt, and what they have used.
//!
//! A process is moved into its group right after its start, because starting it there needs unsafe
//! code or another program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster_state::{AttemptRef, AttemptUsage, Resources};
use nix::errno::Errno;
use nix::unistd::Pid;
use tracing::{debug, info, warn};

use crate::processes::HomeId;

/// Group into which the worker itself moves: a group whose children have limits has no processes.
const WORKER: &str = "worker";
/// Beginning of the name of the group of all attempts: workers may share a group.
const TASKS: &str = "tasks";
const CONTROLLERS: [&str; 2] = ["cpu", "memory"];
/// Rounds of moving processes away, should they start others meanwhile.
const MOVES_MAX: usize = 16;
/// Time that killed processes have to leave a group.
const EMPTY_PATIENCE: Duration = Duration::from_secs(5);
const EMPTY_PAUSE: Duration = Duration::from_millis(5);
/// Time, in microseconds, in which a group gets its share of processor time, and the longest such time,
/// for shares that are so small that the kernel refuses them otherwise.
const PERIOD_MICROS: u64 = 100_000;
const PERIOD_MICROS_MAX: u64 = 1_000_000;
/// Smallest share that the kernel takes, in thousandths of a processor by the shorter time.
const MILLI_MIN: u64 = 10;

/// Reason that attempts cannot have control groups.
#[derive(Debug, thiserror::Error)]
pub enum CgroupsError {
    /// There is no hierarchy of version 2.
    #[error("there is no control group of version 2 on this machine")]
    None,
    /// The worker's own group cannot be divided.
    #[error("cannot divide the control group {}: is it delegated to the worker?", path.display())]
    Refused { path: PathBuf, source: io::Error },
}

/// The group below which attempts have theirs.
#[derive(Debug)]
pub(crate) struct Cgroups {
    tasks: PathBuf,
    limits: Vec<&'static str>,
}

/// The group of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    dir: PathBuf,
}

impl Cgroups {
    /// Divides the group of this process. It blocks.
    pub(crate) fn open(home: HomeId) -> Result<Self, CgroupsError> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = own_group(&read("/proc/self/cgroup"), &read("/proc/self/mounts"));
        Self::divide(&own.ok_or(CgroupsError::None)?, &format!("{TASKS}-{home}"))
    }

    fn divide(own: &Path, tasks: &str) -> Result<Self, CgroupsError> {
        let refused = |source| CgroupsError::Refused { path: own.to_owned(), source };
        let tasks = own.join(tasks);
        fs::create_dir_all(own.join(WORKER)).map_err(refused)?;
        fs::create_dir_all(&tasks).map_err(refused)?;
        // The root of the hierarchy alone may have processes beside groups with limits.
        if own.join("cgroup.type").exists() {
            move_all(own, &own.join(WORKER)).map_err(refused)?;
        }

        let known = fs::read_to_string(own.join("cgroup.controllers")).map_err(refused)?;
        let known = known.split_whitespace().collect::<Vec<_>>();
        let limits = CONTROLLERS.into_iter().filter(|name| known.contains(name));
        let limits = limits.collect::<Vec<_>>();
        for controller in &limits {
            for dir in [own, &tasks] {
                let control = dir.join("cgroup.subtree_control");
                fs::write(control, format!("+{controller}")).map_err(refused)?;
            }
        }
        if limits.len() < CONTROLLERS.len() {
            warn!(?limits, group = %own.display(), "control groups cannot limit everything here");
        }
        info!(group = %tasks.display(), ?limits, "attempts have control groups");
        let groups = Self { tasks, limits };
        groups.clear().map_err(refused)?;
        Ok(groups)
    }

    /// Ends what an earlier process of the worker has left.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.tasks)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let group = Group { dir: entry.path() };
                group.kill();
                group.remove();
            }
        }
        Ok(())
    }

    /// Creates the group of an attempt, with limits for what it occupies. It blocks.
    pub(crate) fn create(
        &self,
        attempt: AttemptRef,
        room: Option<&Resources>,
    ) -> io::Result<Group> {
        let dir = self.tasks.join(format!("{}.{}", attempt.task, attempt.attempt.0));
        match fs::create_dir(&dir) {
            // Of another cluster, to which this worker belonged before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        for (name, value) in room.map(|room| self.limits_of(room)).unwrap_or_default() {
            fs::write(dir.join(name), value)?;
        }
        Ok(Group { dir })
    }

    fn limits_of(&self, room: &Resources) -> Vec<(&'static str, String)> {
        let mut limits = Vec::new();
        if self.limits.contains(&"cpu") && room.cpu_milli > 0 {
            let period = if room.cpu_milli < MILLI_MIN { PERIOD_MICROS_MAX } else { PERIOD_MICROS };
            let quota = room.cpu_milli.saturating_mul(period / 1_000);
            limits.push(("cpu.max", format!("{quota} {period}")));
        }
        if self.limits.contains(&"memory") && room.memory_mib > 0 {
            limits.push(("memory.max", room.memory_mib.saturating_mul(1 << 20).to_string()));
            limits.push(("memory.swap.max", "0".to_owned()));
            // Half a task is of no use.
            limits.push(("memory.oom.group", "1".to_owned()));
        }
        limits
    }
}

impl Group {
    /// Moves a process that has just started into the group. It blocks.
    pub(crate) fn enter(&self, process: Pid) {
        match fs::write(self.dir.join("cgroup.procs"), process.to_string()) {
            // It has ended already.
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => warn!(group = %self.dir.display(), %error, "cannot enter control group"),
            Ok(()) => {}
        }
    }

    /// Kills all processes in it at once.
    pub(crate) fn kill(&self) {
        if let Err(error) = fs::write(self.dir.join("cgroup.kill"), "1") {
            // Before Linux 5.14 there is no such file. They are killed one by one anyway.
            debug!(group = %self.dir.display(), %error, "cannot kill control group");
        }
    }

    /// Returns what its processes have used. It blocks.
    fn usage(&self) -> Option<AttemptUsage> {
        let read = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        Some(AttemptUsage {
            cpu_micros: field(&read("cpu.stat"), "usage_usec")?,
            memory_peak_bytes: read("memory.peak").trim().parse().ok(),
            // It rises by more than one for one process.
            out_of_memory: field(&read("memory.events"), "oom_kill").is_some_and(|count| count > 0),
        })
    }

    /// Ends what is left in it, removes it, and returns what its processes have used. It blocks.
    pub(crate) fn end(&self) -> Option<AttemptUsage> {
        let events = fs::read_to_string(self.dir.join("cgroup.events")).unwrap_or_default();
        if field(&events, "populated").is_some_and(|populated| populated > 0) {
            self.kill();
        }
        let usage = self.usage();
        self.remove();
        usage
    }

    /// Removes it once it is empty. It blocks.
    pub(crate) fn remove(&self) {
        let begun_at = Instant::now();
        loop {
            match fs::remove_dir(&self.dir) {
                // A process that was killed leaves the group a little later.
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy
                        && begun_at.elapsed() < EMPTY_PATIENCE =>
                {
                    std::thread::sleep(EMPTY_PAUSE);
                }
                Err(error) => {
                    warn!(group = %self.dir.display(), %error, "cannot remove control group");
                    return;
                }
                Ok(()) => return,
            }
        }
    }
}

/// Returns the directory of the group of version 2 of a process with these groups and mounts, as in
/// `/proc/PID`.
fn own_group(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let at = fields.next()?;
        (fields.next()? == "cgroup2").then_some(at)
    })?;
    Some(Path::new(mount).join(group.trim_start_matches('/')))
}

/// Moves all processes from one group to another.
fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..MOVES_MAX {
        let processes = fs::read_to_string(from.join("cgroup.procs"))?;
        if processes.is_empty() {
            return Ok(());
        }
        for process in processes.lines() {
            match fs::write(to.join("cgroup.procs"), process) {
                Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
                moved => moved?,
            }
        }
    }
    Err(io::Error::other("processes start faster than they can be moved"))
}

/// Returns a number of a file with a name and a number in each line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().filter_map(|line| line.split_once(' '));
    fields.find(|(known, _)| *known == name)?.1.trim().parse().ok()
}

#[cfg(test)]
pub(crate) mod tests;
