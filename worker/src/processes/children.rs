//! Children of this process: those that it started, and orphans that it adopted.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::process::Child;
use tracing::warn;

/// Distinguishes this process's own children from orphans: descendants whose parents have ended
/// become children of the worker, so every process of an attempt stays in sight.
#[derive(Debug)]
pub(crate) struct Children {
    adopts: Adopts,
    /// Held shared while a child is started and not recorded yet.
    starting: RwLock<()>,
    /// Number of starts of each process that are not forgotten: a process id may be reused at once.
    started: Mutex<BTreeMap<Pid, u32>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adopts {
    Orphans,
    Nobody,
}

impl Children {
    /// Makes this process adopt orphans. From then on it must start all children through this.
    #[must_use]
    pub(crate) fn adopting() -> Self {
        let adopts = match prctl::set_child_subreaper(true) {
            Ok(()) => Adopts::Orphans,
            Err(error) => {
                warn!(%error, "cannot adopt orphans");
                Adopts::Nobody
            }
        };
        Self { adopts, ..Self::aside() }
    }

    /// Leaves orphans alone, for a process that has other children too.
    #[must_use]
    pub(crate) fn aside() -> Self {
        Self { adopts: Adopts::Nobody, starting: RwLock::default(), started: Mutex::default() }
    }

    /// Starts a child.
    pub(crate) fn start(
        &self,
        start: impl FnOnce() -> io::Result<Child>,
    ) -> io::Result<(Child, Pid)> {
        let _starting = self.starting.read();
        let child = start()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("it has no process number"))?;
        *self.started().entry(id).or_default() += 1;
        Ok((child, id))
    }

    /// Forgets a child that has been waited for.
    pub(crate) fn forget(&self, child: Pid) {
        let mut started = self.started();
        if let Some(count) = started.get_mut(&child) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                started.remove(&child);
            }
        }
    }

    /// Lists the orphans; none when this process does not adopt them. It blocks.
    pub(crate) fn orphans(&self) -> io::Result<Option<Vec<Pid>>> {
        if self.adopts == Adopts::Nobody {
            return Ok(None);
        }
        let _nobody_starts = self.starting.write();
        let mut children = children()?;
        let started = self.started();
        children.retain(|child| !started.contains_key(child));
        Ok(Some(children))
    }

    /// Reaps orphans that have ended. It blocks.
    pub(crate) fn reap(&self) {
        match self.orphans() {
            Ok(orphans) => {
                for orphan in orphans.unwrap_or_default() {
                    // One that still runs is not waited for.
                    waitpid(orphan, Some(WaitPidFlag::WNOHANG)).map(drop).unwrap_or_default();
                }
            }
            Err(error) => warn!(%error, "cannot look for orphans"),
        }
    }

    fn started(&self) -> MutexGuard<'_, BTreeMap<Pid, u32>> {
        self.started.lock()
    }
}

/// Lists children of this process, including those that have ended and were not waited for: all
/// orphans among them, which become children of its first thread, and some of those that it
/// started.
fn children() -> io::Result<Vec<Pid>> {
    let first_thread = Pid::this();
    match fs::read_to_string(format!("/proc/self/task/{first_thread}/children")) {
        Ok(ids) => {
            let ids = ids.split_ascii_whitespace().filter_map(|id| id.parse().ok());
            Ok(ids.map(Pid::from_raw).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => children_by_parent(),
        Err(error) => Err(error),
    }
}

/// Lists children on kernels that keep no lists of them.
fn children_by_parent() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        if fields.split(' ').nth(1) == Some(Pid::this().to_string().as_str()) {
            children.push(Pid::from_raw(id));
        }
    }
    Ok(children)
}
