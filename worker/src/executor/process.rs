//! Runs attempts as processes: each in its own process group, its output kept in files.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptOutcome, AttemptRef, FinishedAttempt, Incarnation, WorkerId};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{Launch, Running, RunningAttempt, Stop};
use crate::leftovers::{self, ProcessRecords};
use crate::logs::{AttemptLogs, Logs, Stream};

/// How long to wait for output after a process and its group have ended: somebody who left the
/// group may hold the pipe open for ever.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);
/// Longest report of why a start failed.
const DETAIL_BYTES_MAX: usize = 1_024;
/// Variables with this prefix configure the worker and are none of a task's business.
const OWN_VARIABLES: &str = "CLOUDAI_";

/// Runs attempts as child processes.
#[derive(Debug)]
pub(crate) struct ProcessExecutor {
    running: Running,
    tasks: TaskTracker,
    logs: Logs,
    starter: Arc<Starter>,
}

/// What every process learns about where it runs.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// The worker.
    pub(crate) worker_id: WorkerId,
    /// The worker's process start, by which leftovers are recognized.
    pub(crate) incarnation: Incarnation,
}

#[derive(Debug)]
struct Starter {
    environment: Environment,
    records: ProcessRecords,
    /// Starting a process blocks its thread for a moment: not all threads at once.
    permits: Semaphore,
}

impl ProcessExecutor {
    /// Sends how attempts ended to `ended`.
    #[must_use]
    pub(crate) fn new(
        environment: Environment,
        logs: Logs,
        records: ProcessRecords,
        ended: mpsc::UnboundedSender<FinishedAttempt>,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let starter = Starter { environment, records, permits: Semaphore::new(threads * 2) };
        Self {
            running: Running::new(ended),
            tasks: TaskTracker::new(),
            logs,
            starter: Arc::new(starter),
        }
    }

    pub(super) fn start(&self, launch: Launch) {
        let attempt = self.running.begin(launch.attempt);
        let logs = Arc::new(self.logs.begin(launch.attempt));
        self.tasks.spawn(run(attempt, launch, logs, Arc::clone(&self.starter)));
    }

    pub(super) const fn running(&self) -> &Running {
        &self.running
    }
}

async fn run(
    mut attempt: RunningAttempt,
    launch: Launch,
    logs: Arc<AttemptLogs>,
    starter: Arc<Starter>,
) {
    let outcome = match turn(&mut attempt, &starter).await {
        Turn::Start(permit) => {
            let started = start(launch, logs.dir(), Arc::clone(&starter)).await;
            drop(permit);
            match started {
                Ok(child) => supervise(child, &mut attempt, logs).await,
                Err(detail) => AttemptOutcome::StartFailed { detail },
            }
        }
        // What was stopped while it waited for its turn does not start.
        Turn::Stopped(stop) => AttemptOutcome::Signaled { signal: stop.signal() as i32 },
    };
    let AttemptRef { task, attempt: number } = attempt.attempt;
    starter.records.remove(attempt.attempt);
    debug!(%task, attempt = %number, %outcome, "attempt ended");
    attempt.end(outcome);
}

enum Turn<'a> {
    /// The semaphore is never closed, so there always is a permit.
    Start(Option<SemaphorePermit<'a>>),
    Stopped(Stop),
}

async fn turn<'a>(attempt: &mut RunningAttempt, starter: &'a Starter) -> Turn<'a> {
    tokio::select! {
        biased;
        stop = attempt.stopped() => Turn::Stopped(stop),
        permit = starter.permits.acquire() => Turn::Start(permit.ok()),
    }
}

async fn start(launch: Launch, dir: PathBuf, starter: Arc<Starter>) -> Result<Child, String> {
    let spawned = tokio::task::spawn_blocking(move || starter.spawn(&launch, &dir)).await;
    spawned.map_err(|join| join.to_string())?.map_err(|mut detail| {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        detail
    })
}

impl Starter {
    fn spawn(&self, launch: &Launch, dir: &Path) -> Result<Child, String> {
        let [program, arguments @ ..] = launch.command.as_slice() else {
            return Err("there is no command, and this worker does not run images".to_owned());
        };
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let working_dir = launch.working_dir.as_deref().unwrap_or(dir);
        // Otherwise a missing directory looks like a missing program.
        if !working_dir.is_dir() {
            return Err(format!("working directory {} does not exist", working_dir.display()));
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(working_dir)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        self.set_environment(&mut command, launch);
        let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        if let Some(group) = group(&child) {
            self.records.put(launch.attempt, group);
        }
        Ok(child)
    }

    fn set_environment(&self, command: &mut Command, launch: &Launch) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OWN_VARIABLES) || name == "NOTIFY_SOCKET" {
                command.env_remove(name);
            }
        }
        let AttemptRef { task, attempt } = launch.attempt;
        command
            .envs(&launch.env)
            .env("CLOUDAI_TASK_ID", task.to_string())
            .env("CLOUDAI_ATTEMPT", attempt.0.to_string())
            .env("CLOUDAI_WORKER_ID", self.environment.worker_id.as_str())
            .env(leftovers::MARK, self.environment.incarnation.to_string());
    }
}

/// Waits for the end of the process, stops it when told to, and leaves nothing of it behind.
async fn supervise(
    mut child: Child,
    attempt: &mut RunningAttempt,
    logs: Arc<AttemptLogs>,
) -> AttemptOutcome {
    let group = group(&child);
    let mut outputs = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        let logs = Arc::clone(&logs);
        outputs.spawn(async move { logs.record(Stream::Stdout, stdout).await });
    }
    if let Some(stderr) = child.stderr.take() {
        outputs.spawn(async move { logs.record(Stream::Stderr, stderr).await });
    }
    let status = wait(&mut child, group, attempt).await;
    // The process is reaped by now. Its group's number cannot be taken by others while members of
    // the group are left, and those are meant.
    signal(group, Signal::SIGKILL);
    finish_outputs(outputs, attempt.attempt).await;
    match status {
        Ok(status) => outcome_of(status),
        Err(error) => AttemptOutcome::StartFailed { detail: format!("lost sight of it: {error}") },
    }
}

async fn wait(
    child: &mut Child,
    group: Option<Pid>,
    attempt: &mut RunningAttempt,
) -> io::Result<ExitStatus> {
    let mut kill_at = None;
    loop {
        let patience_over = async {
            match kill_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return status,
            stop = attempt.stopped() => match stop {
                // A repeated order does not begin a new grace.
                Stop::Terminate(_) if kill_at.is_some() => {}
                Stop::Terminate(grace) => {
                    signal(group, Signal::SIGTERM);
                    kill_at = Some(Instant::now() + grace);
                }
                Stop::Kill => signal(group, Signal::SIGKILL),
            },
            () = patience_over => {
                signal(group, Signal::SIGKILL);
                kill_at = None;
            }
        }
    }
}

async fn finish_outputs(mut outputs: JoinSet<io::Result<()>>, attempt: AttemptRef) {
    let finish = async {
        while let Some(recorded) = outputs.join_next().await {
            if let Err(error) = recorded.map_err(io::Error::other).flatten() {
                warn!(task = %attempt.task, attempt = %attempt.attempt, %error, "output not read");
            }
        }
    };
    if timeout(OUTPUT_GRACE, finish).await.is_err() {
        warn!(task = %attempt.task, attempt = %attempt.attempt, "output still open, left alone");
    }
    outputs.shutdown().await;
}

fn group(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // An error means that nobody is left in the group.
        killpg(group, signal).unwrap_or_default();
    }
}

fn outcome_of(status: ExitStatus) -> AttemptOutcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => AttemptOutcome::Exited { code },
        (None, Some(signal)) => AttemptOutcome::Signaled { signal },
        (None, None) => AttemptOutcome::StartFailed { detail: format!("ended as {status}") },
    }
}

#[cfg(test)]
mod tests;
