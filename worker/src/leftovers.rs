//! Processes that an earlier process of the worker left behind. Its keeper ends them, or the next
//! process of the worker does before it registers, because from then on the leader assigns their
//! tasks to other workers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster_state::AttemptRef;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tracing::{info, warn};

use crate::processes::{Census, Kin, Process, StartTime, Whose, signal_all, stat};

/// Time that killed processes have to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
const SEARCH_PAUSE: Duration = Duration::from_millis(10);

/// Stores one small file for each running process group: enough to recognize the group after a
/// restart even if its processes have cleared their environment.
#[derive(Debug)]
pub(crate) struct ProcessRecords {
    dir: PathBuf,
    boot: String,
}

/// Reason that leftovers are not ended.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// The records, or the processes of this machine, cannot be read.
    #[error("cannot look for processes of an earlier start in {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The processes are still there although they were killed, or may not be killed.
    #[error("processes of an earlier start of this worker cannot be killed: {processes:?}")]
    Alive {
        /// Process ids.
        processes: Vec<i32>,
    },
}

/// Record of a process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    group: Pid,
    session: Pid,
    started: StartTime,
}

/// Processes that earlier processes of the worker left behind.
#[derive(Debug)]
pub(crate) struct Leftovers {
    kin: Kin,
    census: Census,
    /// Record files of the groups to end.
    files: Vec<PathBuf>,
}

impl ProcessRecords {
    /// Opens the records in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, LeftoversError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        // Without a boot id the records are worthless, but the mark still serves.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), boot: boot.trim().to_owned() })
    }

    /// Records a running process group. The file is not synced: a crash of the machine kills the
    /// processes too. It blocks.
    pub(crate) fn put(&self, attempt: AttemptRef, leader: Pid) {
        // None: the process has ended already.
        let Some(Process { session, started, .. }) = stat(leader) else { return };
        let record = format!("{leader} {session} {} {}", started.0, self.boot);
        if let Err(error) = fs::write(self.path(attempt), record) {
            warn!(task = %attempt.task, %error, "cannot record process");
        }
    }

    /// Removes the record of a group that has ended. It blocks.
    pub(crate) fn remove(&self, attempt: AttemptRef) {
        if let Err(error) = fs::remove_file(self.path(attempt))
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(task = %attempt.task, %error, "cannot remove process record");
        }
    }

    /// Lists the recorded process groups and the processes that carry one of these marks. It
    /// blocks.
    pub(crate) fn leftovers(&self, whose: Whose) -> Result<Leftovers, LeftoversError> {
        let census = Census::default();
        let processes = census.take().map_err(at(Path::new("/proc")))?;
        let mut kin = Kin::new(whose);
        let files = self.files()?;
        for path in &files {
            // A record that was cut short by a crash is covered by the mark.
            let text = fs::read_to_string(path).unwrap_or_default();
            if let Some(record) = self.parse(&text).filter(|record| record.stands(&processes)) {
                kin = kin.with_group(record.group);
            }
        }
        Ok(Leftovers { kin, census, files })
    }

    pub(crate) fn parse(&self, record: &str) -> Option<Record> {
        let mut words = record.split(' ');
        let group = words.next()?.parse().ok().filter(|group| *group > 1)?;
        let session = words.next()?.parse().ok()?;
        let started = StartTime(words.next()?.parse().ok()?);
        let boot = words.next()?;
        let record =
            Record { group: Pid::from_raw(group), session: Pid::from_raw(session), started };
        (!boot.is_empty() && boot == self.boot).then_some(record)
    }

    fn files(&self) -> Result<Vec<PathBuf>, LeftoversError> {
        fs::read_dir(&self.dir)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(at(&self.dir))
    }

    fn path(&self, attempt: AttemptRef) -> PathBuf {
        self.dir.join(format!("{}.{}", attempt.task, attempt.attempt.0))
    }
}

impl Record {
    /// Returns true if the number still names this group, and not another one.
    fn stands(&self, processes: &[Process]) -> bool {
        match processes.iter().find(|process| process.id == self.group) {
            Some(leader) => leader.started == self.started,
            // The group's leader has ended. Its number is not reused while the group lasts, and a
            // later group of that number would hardly be in the same session.
            None => processes.iter().any(|process| {
                (process.group, process.session) == (self.group, self.session)
                    && process.started.0 >= self.started.0
            }),
        }
    }
}

impl Leftovers {
    /// Ends the processes and waits until they are gone: asks them first, if there is a grace
    /// period. It blocks.
    pub(crate) fn end(&mut self, grace: Duration) -> Result<(), LeftoversError> {
        let begun_at = Instant::now();
        let found = self.alive()?;
        if !grace.is_zero() {
            signal_all(&found, Signal::SIGTERM);
            while begun_at.elapsed() < grace && !self.alive()?.is_empty() {
                std::thread::sleep(SEARCH_PAUSE);
            }
        }

        loop {
            let left = self.alive()?;
            if left.is_empty() {
                break;
            }
            signal_all(&left, Signal::SIGKILL);
            if begun_at.elapsed() > grace + KILL_PATIENCE {
                let processes = left.iter().map(|process| process.id.as_raw()).collect();
                return Err(LeftoversError::Alive { processes });
            }
            std::thread::sleep(SEARCH_PAUSE);
        }
        if !found.is_empty() {
            info!(processes = found.len(), "processes of an earlier start killed");
        }
        self.forget()
    }

    fn alive(&mut self) -> Result<Vec<Process>, LeftoversError> {
        let processes = self.census.take().map_err(at(Path::new("/proc")))?;
        Ok(self.kin.members(&processes))
    }

    fn forget(&mut self) -> Result<(), LeftoversError> {
        for path in self.files.drain(..) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(LeftoversError::Io { path, source });
                }
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LeftoversError + use<> {
    let path = path.to_owned();
    move |source| LeftoversError::Io { path, source }
}

#[cfg(test)]
mod tests;
