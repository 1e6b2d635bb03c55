//! A fleet of simulated workers in a few processes, and what they report.

mod counters;
mod known_leaders;
mod serve;
mod service;
mod worker;

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

pub(crate) use serve::serve;

use crate::open_files::TooFewFiles;

/// Workers at addresses that differ in their last number only.
const WORKERS_PER_NET: u32 = 250;
/// Networks that are used of loopback's 65,536.
const NETS: u32 = 250;

/// Reason that the fleet cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    /// They need more open files than are allowed.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// An address that one of them needs cannot be had.
    #[error("cannot listen on {address}")]
    Listen { address: String, source: io::Error },
    /// Their process cannot be started or talked to.
    #[error("cannot control the simulated workers")]
    Control(#[from] io::Error),
    /// Their process ended, or says what it should not.
    #[error("a process of simulated workers ended early")]
    Ended,
    /// They are not where they were awaited in time.
    #[error("after {} s, {count} of {of} workers {what}", waited.as_secs())]
    Late {
        /// For how long it was waited.
        waited: Duration,
        /// Number of workers so far.
        count: u32,
        /// Number of workers expected.
        of: u32,
        /// State that they have to reach.
        what: &'static str,
    },
}

/// Report of a process of simulated workers, as a line of JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    /// Workers that listen.
    listening: u32,
    /// The highest term in which one of them has a session.
    term: u64,
    /// Number of workers with a session in that term.
    following: u32,
    /// Heartbeats answered so far.
    heartbeats: u64,
}

/// Returns the name of the worker of this number.
#[must_use]
pub(crate) fn worker_id(number: u32) -> String {
    format!("sim-{number:05}")
}

/// Returns the address of the worker of this number: an IP address of its own, because the ports of
/// a single one would not suffice.
#[must_use]
pub(crate) fn worker_address(number: u32, port: u16) -> String {
    let net = number / WORKERS_PER_NET % NETS;
    let host = number % WORKERS_PER_NET + 1;
    format!("127.77.{net}.{host}:{port}")
}

/// Simulated workers, spread over processes. They are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    workers: u32,
    processes: Vec<FleetProcess>,
}

#[derive(Debug)]
struct FleetProcess {
    commands: ChildStdin,
    reports: watch::Receiver<Report>,
    _reader: JoinSet<()>,
    _child: Child,
}

impl Fleet {
    /// Starts the processes; none of the workers listens yet.
    pub(crate) fn spawn(workers: u32, processes: u16, port: u16) -> Result<Self, FleetError> {
        let program = std::env::current_exe()?;
        let share = workers.div_ceil(u32::from(processes.max(1))).max(1);
        let mut fleet = Self { workers, processes: Vec::new() };
        let mut first = 0;
        while first < workers {
            let count = share.min(workers - first);
            let child = Command::new(&program)
                .args(["fleet", "--first", &first.to_string(), "--count", &count.to_string()])
                .args(["--port", &port.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            fleet.processes.push(FleetProcess::new(child)?);
            first += count;
        }
        Ok(fleet)
    }

    /// Starts all workers at once and returns when every one listens.
    pub(crate) async fn start(&mut self, patience: Duration) -> Result<(), FleetError> {
        for process in &mut self.processes {
            process.commands.write_all(b"start\n").await?;
        }
        let all = self.workers;
        let listening = |reports: &[Report]| reports.iter().map(|report| report.listening).sum();
        self.reach(all, "listen", patience, listening).await
    }

    /// Returns when every worker has a session in `term` or a later one.
    pub(crate) async fn follow(&mut self, term: u64, patience: Duration) -> Result<(), FleetError> {
        let following = |reports: &[Report]| {
            let there = reports.iter().filter(|report| report.term >= term);
            there.map(|report| report.following).sum()
        };
        self.reach(self.workers, "follow the leader", patience, following).await
    }

    /// Heartbeats answered so far.
    #[must_use]
    pub(crate) fn heartbeats(&self) -> u64 {
        self.processes.iter().map(|process| process.reports.borrow().heartbeats).sum()
    }

    async fn reach(
        &mut self,
        of: u32,
        what: &'static str,
        patience: Duration,
        count: impl Fn(&[Report]) -> u32,
    ) -> Result<(), FleetError> {
        let until = Instant::now() + patience;
        loop {
            let reports = self.processes.iter_mut().map(|one| *one.reports.borrow_and_update());
            let count = count(&reports.collect::<Vec<_>>());
            if count >= of {
                return Ok(());
            }
            match timeout_at(until, self.changed()).await {
                Ok(changed) => changed?,
                Err(_) => return Err(FleetError::Late { waited: patience, count, of, what }),
            }
        }
    }

    /// Waits for the next report of any process.
    async fn changed(&mut self) -> Result<(), FleetError> {
        let changes = self.processes.iter_mut().map(|one| Box::pin(one.reports.changed()));
        let (change, ..) = futures_util::future::select_all(changes).await;
        change.map_err(|_| FleetError::Ended)
    }
}

impl FleetProcess {
    fn new(mut child: Child) -> Result<Self, FleetError> {
        let commands = child.stdin.take().ok_or(FleetError::Ended)?;
        let reports = child.stdout.take().ok_or(FleetError::Ended)?;
        let (sender, receiver) = watch::channel(Report::default());
        let mut reader = JoinSet::new();
        reader.spawn(read_reports(reports, sender));
        Ok(Self { commands, reports: receiver, _reader: reader, _child: child })
    }
}

/// Reads reports until the process ends or prints anything else.
async fn read_reports(stdout: ChildStdout, sender: watch::Sender<Report>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(report) = serde_json::from_str(&line) else { return };
        sender.send_replace(report);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_worker_has_an_address_of_its_own() {
        let addresses = (0..30_000).map(|number| worker_address(number, 8_000));
        assert_eq!(addresses.collect::<BTreeSet<_>>().len(), 30_000);
        assert_eq!(worker_address(0, 8_000), "127.77.0.1:8000");
        assert_eq!(worker_address(250, 8_000), "127.77.1.1:8000");
        assert_eq!(worker_id(7), "sim-00007");
    }
}
