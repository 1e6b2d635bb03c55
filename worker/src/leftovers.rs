//! Processes that an earlier process of this worker left behind: found and killed before this one
//! registers, because from then on the leader gives their tasks to others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_state::{AttemptRef, Incarnation};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tracing::{info, warn};

/// The environment variable that marks every process of an incarnation.
pub(crate) const MARK: &str = "CLOUDAI_INCARNATION";

const ROUNDS_MAX: u32 = 500;
const ROUND_PAUSE: Duration = Duration::from_millis(10);

/// One small file for each running process group: enough to recognize it after a restart even if
/// the process has cleared its environment.
#[derive(Debug)]
pub(crate) struct ProcessRecords {
    dir: PathBuf,
    boot: String,
}

/// Some leftovers would not die.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// The records cannot be read or removed.
    #[error("cannot read process records in {}", path.display())]
    Io {
        /// Where they are.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Killed, and still there.
    #[error("{count} processes of an earlier start of this worker cannot be killed")]
    Alive {
        /// How many.
        count: usize,
    },
}

/// When a process started, in ticks since boot: with its number, its name for all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StartTime(u64);

impl ProcessRecords {
    /// Keeps the records in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, LeftoversError> {
        fs::create_dir_all(dir)
            .map_err(|source| LeftoversError::Io { path: dir.to_owned(), source })?;
        // Without a boot id the records are worthless, but the mark still serves.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), boot: boot.trim().to_owned() })
    }

    /// A process group runs. It is not synced: a crash of the machine kills the processes too.
    pub(crate) fn put(&self, attempt: AttemptRef, group: Pid) {
        // None: it has ended already.
        let Some(started) = start_time(group) else { return };
        let record = format!("{group} {} {}", started.0, self.boot);
        if let Err(error) = fs::write(self.path(attempt), record) {
            warn!(task = %attempt.task, %error, "process not recorded");
        }
    }

    /// It has ended.
    pub(crate) fn remove(&self, attempt: AttemptRef) {
        if let Err(error) = fs::remove_file(self.path(attempt))
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(task = %attempt.task, %error, "process record not removed");
        }
    }

    /// Kills everything that `earlier` left behind and returns once it is gone. It blocks.
    pub(crate) fn kill_leftovers(
        &self,
        earlier: Option<Incarnation>,
    ) -> Result<(), LeftoversError> {
        let recorded = self.recorded_groups()?;
        let mark = earlier.map(|earlier| format!("{MARK}={earlier}"));
        let mut killed = 0;
        for round in 0..ROUNDS_MAX {
            let alive = self.kill_round(&recorded, mark.as_deref());
            if alive == 0 {
                if killed > 0 {
                    info!(processes = killed, "processes of an earlier start killed");
                }
                return self.clear();
            }
            if round == 0 {
                killed = alive;
            }
            std::thread::sleep(ROUND_PAUSE);
        }
        Err(LeftoversError::Alive { count: self.kill_round(&recorded, mark.as_deref()) })
    }

    /// Sends one signal to each leftover; how many there were.
    fn kill_round(&self, recorded: &[(Pid, StartTime)], mark: Option<&str>) -> usize {
        let mut alive = 0;
        for (group, started) in recorded {
            if start_time(*group) == Some(*started) && killpg(*group, Signal::SIGKILL).is_ok() {
                alive += 1;
            }
        }
        let Some(mark) = mark else { return alive };
        for process in processes().filter(|process| is_marked(*process, mark)) {
            match kill(process, Signal::SIGKILL) {
                Ok(()) => alive += 1,
                Err(Errno::ESRCH) => {}
                Err(error) => warn!(%process, %error, "leftover process not killed"),
            }
        }
        alive
    }

    fn recorded_groups(&self) -> Result<Vec<(Pid, StartTime)>, LeftoversError> {
        let mut groups = Vec::new();
        for path in self.files()? {
            // A record that was cut short by a crash is covered by the mark.
            if let Ok(record) = fs::read_to_string(&path) {
                groups.extend(self.parse(&record));
            }
        }
        Ok(groups)
    }

    fn parse(&self, record: &str) -> Option<(Pid, StartTime)> {
        let mut words = record.split(' ');
        let group = words.next()?.parse().ok().filter(|group| *group > 1)?;
        let started = words.next()?.parse().ok()?;
        let boot = words.next()?;
        (!boot.is_empty() && boot == self.boot)
            .then_some((Pid::from_raw(group), StartTime(started)))
    }

    fn clear(&self) -> Result<(), LeftoversError> {
        for path in self.files()? {
            fs::remove_file(&path).map_err(|source| LeftoversError::Io { path, source })?;
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>, LeftoversError> {
        fs::read_dir(&self.dir)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|source| LeftoversError::Io { path: self.dir.clone(), source })
    }

    fn path(&self, attempt: AttemptRef) -> PathBuf {
        self.dir.join(format!("{}.{}", attempt.task, attempt.attempt.0))
    }
}

/// None when there is no such process, or only what its parent has not reaped yet.
fn start_time(process: Pid) -> Option<StartTime> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field, the name in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let is_alive = !matches!(fields.next()?, "Z" | "X");
    // Field 22 of the line, 3 being the first here.
    fields.nth(18)?.parse().ok().filter(|_| is_alive).map(StartTime)
}

fn processes() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

fn is_marked(process: Pid, mark: &str) -> bool {
    // What cannot be read belongs to another user, or is gone.
    fs::read(format!("/proc/{process}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|v| v == mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

    use super::*;
    use crate::ledger::attempt_ref;

    const EARLIER: Incarnation = Incarnation(0xabc);
    const OTHER: Incarnation = Incarnation(0xdef);

    fn sleeper(incarnation: Incarnation) -> Child {
        Command::new("sleep")
            .arg("600")
            .env(MARK, incarnation.to_string())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    fn pid(child: &Child) -> Pid {
        Pid::from_raw(i32::try_from(child.id()).unwrap())
    }

    fn records() -> (tempfile::TempDir, ProcessRecords) {
        let dir = tempfile::tempdir().unwrap();
        let records = ProcessRecords::open(&dir.path().join("running")).unwrap();
        (dir, records)
    }

    #[test]
    fn a_recorded_group_is_killed_although_it_carries_no_mark() {
        let (_dir, records) = records();
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        records.put(attempt_ref(1, 1), pid(&child));

        records.kill_leftovers(None).unwrap();

        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(records.files().unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_marked_process_is_killed_although_it_was_not_recorded() {
        let (_dir, records) = records();
        let mut left_behind = sleeper(EARLIER);
        let mut stranger = sleeper(OTHER);

        records.kill_leftovers(Some(EARLIER)).unwrap();

        assert_eq!(left_behind.wait().unwrap().signal(), Some(9));
        assert_eq!(stranger.try_wait().unwrap(), None);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_number_that_another_process_has_now_is_spared() {
        let (_dir, records) = records();
        let mut stranger = sleeper(OTHER);
        let started = start_time(pid(&stranger)).unwrap();
        let record = format!("{} {} {}", stranger.id(), started.0 - 1, records.boot);
        fs::write(records.path(attempt_ref(1, 1)), record).unwrap();
        fs::write(records.path(attempt_ref(2, 1)), "torn").unwrap();

        records.kill_leftovers(Some(EARLIER)).unwrap();

        assert_eq!(stranger.try_wait().unwrap(), None);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
