//! Runs attempts as processes: each in its own process group, its output kept in files, and no
//! process left behind.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use cluster_state::{
    AttemptOutcome, AttemptRef, AttemptReport, FinishedAttempt, Incarnation, LossReason, WorkerId,
};
use nix::sys::signal::Signal;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{Launch, Running, RunningAttempt, Stop};
use crate::cgroups::Cgroups;
use crate::devices::{Devices, Held};
use crate::fitness::Verdict;
use crate::leftovers::ProcessRecords;
use crate::logs::{AttemptLogs, Logs};
use crate::processes::{Census, Children, HomeId, Mark, find, signal_all};

mod environment;
mod result_file;
mod start;
mod supervise;

pub(crate) use environment::Passed;
use start::{Fault, StartFailure, Started};

/// Runs attempts as child processes.
#[derive(Debug)]
pub(crate) struct ProcessExecutor {
    running: Running,
    tasks: TaskTracker,
    logs: Logs,
    machine: Arc<Machine>,
}

/// Description of the worker for its processes, and the environment that they inherit from it.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) worker_id: WorkerId,
    /// Data directory of the worker, by which its processes are recognized.
    pub(crate) home: HomeId,
    /// Process start of the worker, by which leftovers are recognized.
    pub(crate) incarnation: Incarnation,
    /// Variables of the worker's environment that tasks inherit.
    pub(crate) passed: Passed,
    /// Soft limit of open files of tasks, when the worker raised its own.
    pub(crate) open_files: Option<u64>,
    /// Devices to assign to attempts.
    pub(crate) devices: Devices,
    /// Maker of their control groups, if they have any.
    pub(crate) cgroups: Option<Arc<Cgroups>>,
}

/// State that all attempts share.
#[derive(Debug)]
struct Machine {
    environment: Environment,
    records: ProcessRecords,
    children: Arc<Children>,
    census: Census,
    /// Bounds the starts at the same time, because each blocks its thread for a moment.
    permits: Semaphore,
    /// Receives the verdict of every start.
    starts: mpsc::UnboundedSender<Verdict>,
}

impl ProcessExecutor {
    /// Creates an executor that sends the ends of attempts to `ended`, and verdicts on their starts
    /// to `starts`.
    #[must_use]
    pub(crate) fn new(
        environment: Environment,
        logs: Logs,
        records: ProcessRecords,
        children: Arc<Children>,
        ended: mpsc::UnboundedSender<FinishedAttempt>,
        starts: mpsc::UnboundedSender<Verdict>,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = Machine {
            environment,
            records,
            children,
            census: Census::default(),
            permits: Semaphore::new(threads * 2),
            starts,
        };
        Self {
            running: Running::new(ended),
            tasks: TaskTracker::new(),
            logs,
            machine: Arc::new(machine),
        }
    }

    pub(super) fn start(&self, launch: Launch) {
        let attempt = self.running.begin(launch.attempt);
        let logs = Arc::new(self.logs.begin(launch.attempt));
        self.tasks.spawn(run(attempt, launch, logs, Arc::clone(&self.machine)));
    }

    pub(super) const fn running(&self) -> &Running {
        &self.running
    }

    /// Kills orphans of attempts that have ended, and, once nothing runs, those without a mark:
    /// they escaped while their attempt ended. It blocks.
    pub(super) fn kill_strays(&self) {
        let orphans = match self.machine.children.orphans() {
            Ok(orphans) => orphans.unwrap_or_default(),
            Err(error) => {
                warn!(%error, "cannot look for stray processes");
                return;
            }
        };
        for stray in orphans.into_iter().filter_map(find) {
            let is_stray = match &stray.mark {
                Some(mark) => self.machine.has_marked(mark) && !self.running.has(mark.attempt),
                None => self.running.is_empty(),
            };
            if is_stray {
                warn!(process = %stray.id, "process of an attempt that has ended, killed");
                signal_all(&[stray], Signal::SIGKILL);
            }
        }
    }
}

impl Machine {
    fn mark(&self, attempt: AttemptRef) -> Mark {
        let Environment { home, incarnation, .. } = self.environment;
        Mark { home, incarnation, attempt }
    }

    fn has_marked(&self, mark: &Mark) -> bool {
        self.mark(mark.attempt) == *mark
    }
}

async fn run(
    mut attempt: RunningAttempt,
    launch: Launch,
    logs: Arc<AttemptLogs>,
    machine: Arc<Machine>,
) {
    // Its devices are free before anybody hears of the end, so that they are when the next one begins.
    let nothing = AttemptReport::default();
    let (outcome, report) = match equip(&mut attempt, &launch, &machine).await {
        Equipped::With(held) => carry_out(&mut attempt, launch, held, logs, &machine).await,
        // That says nothing about the machine, nor about the task.
        Equipped::Lacking(reason) => {
            let AttemptRef { task, attempt: number } = attempt.attempt;
            warn!(%task, attempt = %number, reason, "no devices for an attempt, it is given back");
            (AttemptOutcome::Lost(LossReason::NotStarted), nothing)
        }
        Equipped::Stopped(stop) => {
            (AttemptOutcome::Signaled { signal: stop.signal() as i32 }, nothing)
        }
    };

    let AttemptRef { task, attempt: number } = attempt.attempt;
    debug!(%task, attempt = %number, %outcome, "attempt ended");
    attempt.end(outcome, report);
}

enum Equipped {
    With(Option<Held>),
    Lacking(String),
    Stopped(Stop),
}

/// Gets the devices of an attempt.
async fn equip(attempt: &mut RunningAttempt, launch: &Launch, machine: &Machine) -> Equipped {
    let devices = &machine.environment.devices;
    let id = attempt.attempt;
    tokio::select! {
        biased;
        stop = attempt.stopped() => Equipped::Stopped(stop),
        held = devices.acquire(id, launch.room.as_ref()) => match held {
            Ok(held) => Equipped::With(held),
            Err(reason) => Equipped::Lacking(reason),
        },
    }
}

/// Runs an attempt that has its devices.
async fn carry_out(
    attempt: &mut RunningAttempt,
    launch: Launch,
    held: Option<Held>,
    logs: Arc<AttemptLogs>,
    machine: &Arc<Machine>,
) -> (AttemptOutcome, AttemptReport) {
    let nothing = AttemptReport::default();
    match turn(attempt, machine).await {
        Turn::Start(permit) => {
            let variables = held.as_ref().map(Held::variables).unwrap_or_default();
            let started = start(launch, variables, Arc::clone(&logs), Arc::clone(machine)).await;
            drop(permit);
            let verdict =
                started.as_ref().map_or_else(|failure| failure.verdict(), |_| Verdict::Good);
            // The receiver is gone when the worker stops hard.
            machine.starts.send(verdict).unwrap_or_default();
            match started {
                Ok(started) => {
                    let (status, report) = supervise::run(started, attempt, logs, machine).await;
                    let outcome = outcome_of(status);
                    let report = without_doubt(report, &outcome);
                    (outcome, report)
                }
                Err(failure) => (failure.outcome(), nothing),
            }
        }
        // An attempt that was stopped while it waited for its turn does not start.
        Turn::Stopped(stop) => (AttemptOutcome::Signaled { signal: stop.signal() as i32 }, nothing),
    }
}

enum Turn<'a> {
    /// The semaphore is never closed, so there always is a permit.
    Start(Option<SemaphorePermit<'a>>),
    Stopped(Stop),
}

async fn turn<'a>(attempt: &mut RunningAttempt, machine: &'a Machine) -> Turn<'a> {
    tokio::select! {
        biased;
        stop = attempt.stopped() => Turn::Stopped(stop),
        permit = machine.permits.acquire() => Turn::Start(permit.ok()),
    }
}

async fn start(
    launch: Launch,
    variables: Vec<(String, String)>,
    logs: Arc<AttemptLogs>,
    machine: Arc<Machine>,
) -> Result<Started, StartFailure> {
    let starting = tokio::task::spawn_blocking(move || machine.start(&launch, variables, &logs));
    starting.await.unwrap_or_else(|join| {
        Err(StartFailure { fault: Fault::Machine, detail: join.to_string() })
    })
}

/// Returns a report that gives no reason for a success: what was killed then was not needed.
fn without_doubt(mut report: AttemptReport, outcome: &AttemptOutcome) -> AttemptReport {
    if let Some(usage) = &mut report.usage
        && *outcome == (AttemptOutcome::Exited { code: 0 })
    {
        usage.out_of_memory = false;
    }
    report
}

fn outcome_of(status: io::Result<ExitStatus>) -> AttemptOutcome {
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => AttemptOutcome::Exited { code },
        Ok((None, Some(signal))) => AttemptOutcome::Signaled { signal },
        // It ran, so the task is not to blame, but its exit code will never be known.
        Ok((None, None)) | Err(_) => AttemptOutcome::Lost(LossReason::UnknownToWorker),
    }
}

#[cfg(test)]
mod tests;
