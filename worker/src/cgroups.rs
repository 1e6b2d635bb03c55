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
const SWAP_MAX: &str = "memory.swap.max";
const OOM_GROUP: &str = "memory.oom.group";
/// Limits that not every kernel has.
const OPTIONAL: [&str; 2] = [SWAP_MAX, OOM_GROUP];
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
        let tasks = format!("{TASKS}-{home}");
        Self::divide(&undivided(own.ok_or(CgroupsError::None)?, &tasks), &tasks)
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
                if !group.is_emptied() {
                    warn!(group = %group.dir.display(), "killed processes do not leave their control group");
                }
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
        let group = Group { dir };
        let limited = room.map_or(Ok(()), |room| self.limit(&group, room));
        // It would be in nobody's charge.
        limited.inspect_err(|_| group.remove())?;
        Ok(group)
    }

    fn limit(&self, group: &Group, room: &Resources) -> io::Result<()> {
        for (name, value) in self.limits_of(room) {
            let file = group.dir.join(name);
            // A kernel without swap, or an older one, has only some of the files.
            if !OPTIONAL.contains(&name) || file.exists() {
                fs::write(file, value)?;
            }
        }
        Ok(())
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
            limits.push((SWAP_MAX, "0".to_owned()));
            // Half a task is of no use.
            limits.push((OOM_GROUP, "1".to_owned()));
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
            out_of_memory: self.was_full(),
        })
    }

    /// Returns whether processes were killed because the group reached its own limit, and not that of
    /// the machine or of a group that the task has made.
    fn was_full(&self) -> bool {
        let read = |name: &str| fs::read_to_string(self.dir.join(name));
        let is_limited = read("memory.max").is_ok_and(|limit| limit.trim() != "max");
        let all = read("memory.events").unwrap_or_default();
        // Before Linux 5.2 only the sum over all groups below is known.
        let own = read("memory.events.local");
        let some = |events: &str, name| field(events, name).is_some_and(|count| count > 0);
        is_limited && some(own.as_ref().unwrap_or(&all), "oom") && some(&all, "oom_kill")
    }

    /// Kills what is left in it. Returns false if that does not disappear for a while. It blocks.
    pub(crate) fn is_emptied(&self) -> bool {
        if !self.has_processes() {
            return true;
        }
        self.kill();
        let begun_at = Instant::now();
        while self.has_processes() {
            if begun_at.elapsed() >= EMPTY_PATIENCE {
                return false;
            }
            std::thread::sleep(EMPTY_PAUSE);
        }
        true
    }

    fn has_processes(&self) -> bool {
        let events = fs::read_to_string(self.dir.join("cgroup.events")).unwrap_or_default();
        field(&events, "populated").is_some_and(|populated| populated > 0)
    }

    /// Removes it, and returns what its processes, which are gone, have used. It blocks.
    pub(crate) fn end(&self) -> Option<AttemptUsage> {
        let usage = self.usage();
        self.remove();
        usage
    }

    /// Removes it once it is empty, with the groups that a task has made in it. It blocks.
    pub(crate) fn remove(&self) {
        let begun_at = Instant::now();
        loop {
            match remove_all(&self.dir) {
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

/// Returns the group to divide: the one above that of this process, if an earlier process of the worker has
/// divided that and its supervisor has started this one where it was itself.
fn undivided(own: PathBuf, tasks: &str) -> PathBuf {
    let is_workers = own.file_name().is_some_and(|name| name == WORKER);
    let above = own.parent().filter(|above| is_workers && above.join(tasks).is_dir());
    above.map(Path::to_owned).unwrap_or(own)
}

/// Removes a group and those below, which have no processes.
fn remove_all(top: &Path) -> io::Result<()> {
    let mut groups = vec![top.to_owned()];
    let mut next = 0;
    while let Some(group) = groups.get(next) {
        // A group may have been removed meanwhile, and its files are none.
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below = dirs.map(|entry| entry.path()).collect::<Vec<_>>();
        groups.extend(below);
        next += 1;
    }
    groups.iter().rev().try_for_each(fs::remove_dir)
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
