//! Lists the processes of this machine and the attempt to which each belongs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

mod children;
mod kin;
mod mark;

pub(crate) use children::Children;
pub(crate) use kin::{Kin, Whose};
pub(crate) use mark::{HomeId, MARK, Mark};

/// Start time of a process, in ticks since boot: with the process id it identifies the process
/// forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartTime(pub(crate) u64);

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Process id.
    pub(crate) id: Pid,
    /// Process id of its parent.
    pub(crate) parent: Pid,
    /// Process group.
    pub(crate) group: Pid,
    /// Session.
    pub(crate) session: Pid,
    pub(crate) started: StartTime,
    /// Mark in its environment, if it is readable and has one.
    pub(crate) mark: Option<Mark>,
}

/// A list of all processes of the machine, shared by concurrent callers.
#[derive(Debug, Default)]
pub(crate) struct Census {
    last: Mutex<Option<Taken>>,
}

#[derive(Debug)]
struct Taken {
    began_at: Instant,
    processes: Arc<Vec<Process>>,
}

impl Census {
    /// Returns the processes at some moment after this call began. It blocks.
    pub(crate) fn take(&self) -> io::Result<Arc<Vec<Process>>> {
        let asked_at = Instant::now();
        let mut last = self.last.lock();
        if let Some(taken) = &*last
            && taken.began_at >= asked_at
        {
            return Ok(Arc::clone(&taken.processes));
        }
        let began_at = Instant::now();
        let known = last.take().map(|taken| taken.processes).unwrap_or_default();
        let processes = Arc::new(all(&known)?);
        *last = Some(Taken { began_at, processes: Arc::clone(&processes) });
        Ok(processes)
    }
}

/// Reads all processes. A mark that was found before is not read again: a process and its children
/// keep it, unless they clear it to hide.
fn all(before: &[Process]) -> io::Result<Vec<Process>> {
    let before = before.iter().map(|process| (process.id, process)).collect::<BTreeMap<_, _>>();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(process) = number.map(Pid::from_raw).and_then(stat) else { continue };
        let known = before.get(&process.id).filter(|known| known.started == process.started);
        let mark = known.and_then(|known| known.mark.clone()).or_else(|| mark_of(process.id));
        processes.push(Process { mark, ..process });
    }
    Ok(processes)
}

/// Reads one process with its mark; none when it has ended.
pub(crate) fn find(process: Pid) -> Option<Process> {
    stat(process).map(|found| Process { mark: mark_of(process), ..found })
}

/// Reads one process; none when there is no such process, or only a zombie.
pub(crate) fn stat(process: Pid) -> Option<Process> {
    parse_stat(process, &fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

pub(crate) fn parse_stat(process: Pid, stat: &str) -> Option<Process> {
    // The second field, the name in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields = fields.split_ascii_whitespace().collect::<Vec<_>>();
    // Counted from the third field of the line.
    let number = |position: usize| fields.get(position)?.parse::<u64>().ok();
    let pid = |position: usize| i32::try_from(number(position)?).ok().map(Pid::from_raw);
    // A process whose first thread has ended looks like a zombie while other threads run.
    let is_over = matches!(*fields.first()?, "Z" | "X") && number(17)? <= 1;
    let process = Process {
        id: process,
        parent: pid(1)?,
        group: pid(2)?,
        session: pid(3)?,
        started: StartTime(number(19)?),
        mark: None,
    };
    (!is_over).then_some(process)
}

/// Reads the mark of a process; a process that cannot be read belongs to another user, or is gone.
fn mark_of(process: Pid) -> Option<Mark> {
    Mark::find(&fs::read(format!("/proc/{process}/environ")).ok()?)
}

/// Sends a signal to each process, and returns those that may not be signaled.
pub(crate) fn signal_all(processes: &[Process], signal: Signal) -> Vec<Pid> {
    let mut refused = Vec::new();
    for process in processes {
        match kill(process.id, signal) {
            // Gone in the meantime.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(_) => refused.push(process.id),
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "17 (a) b) S 4 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 900 1 1 1";

    #[test]
    fn a_name_may_contain_anything() {
        let process = parse_stat(Pid::from_raw(17), STAT).unwrap();
        let numbers = [process.parent, process.group, process.session].map(Pid::as_raw);
        assert_eq!((numbers, process.started), ([4, 5, 6], StartTime(900)));
    }

    #[test]
    fn a_zombie_is_no_process_unless_threads_of_it_run() {
        let stat = STAT.replace(" S ", " Z ");
        assert_eq!(parse_stat(Pid::from_raw(17), &stat), None);
        assert!(parse_stat(Pid::from_raw(17), &stat.replace(" 1 0 900", " 2 0 900")).is_some());
    }

    #[test]
    fn this_process_is_among_all() {
        let census = Census::default();
        let ours = Pid::this();
        assert!(census.take().unwrap().iter().any(|process| process.id == ours));
    }
}
