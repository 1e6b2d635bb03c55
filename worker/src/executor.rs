//! Runs attempts: starts them, stops them, and says how each ended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_state::{
    AttemptOutcome, AttemptRef, AttemptReport, FinishedAttempt, OnDisconnect, Resources,
};
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use proto::discreet::Names;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use crate::ledger::{Begin, Order};

mod noop;
mod process;

pub(crate) use noop::NoopExecutor;
pub(crate) use process::{Environment, Passed, ProcessExecutor};

/// An attempt to start.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) attempt: AttemptRef,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Variables in addition to those that any program may expect. Some may be secret.
    pub(crate) env: BTreeMap<String, String>,
    /// Directory to run in; the attempt's own directory when absent.
    pub(crate) working_dir: Option<PathBuf>,
    /// Bytes that it reads from standard input.
    pub(crate) stdin: Option<Bytes>,
    /// Treatment of the attempt when no leader is reached for the heartbeat timeout.
    pub(crate) on_disconnect: OnDisconnect,
    /// Resources that it occupies, if the leader has said so.
    pub(crate) room: Option<Resources>,
    pub(crate) begin: Begin,
}

impl Launch {
    /// Returns what the ledger needs to know of it.
    pub(crate) fn order(&self) -> Order {
        let Self { on_disconnect, room, begin, .. } = self;
        Order { on_disconnect: *on_disconnect, room: room.clone(), begin: *begin }
    }
}

/// Shows of the variables only the names.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, command, env, working_dir, stdin, on_disconnect, room, begin } = self;
        f.debug_struct("Launch")
            .field("attempt", attempt)
            .field("command", command)
            .field("env", &Names(env))
            .field("working_dir", working_dir)
            .field("stdin_bytes", &stdin.as_ref().map(Bytes::len))
            .field("on_disconnect", on_disconnect)
            .field("room", room)
            .field("begin", begin)
            .finish()
    }
}

/// Order to end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ask it to end, and kill it after this time.
    Terminate(Duration),
    /// Kill it.
    Kill,
}

impl Stop {
    /// Returns the first signal to send.
    const fn signal(self) -> Signal {
        match self {
            Self::Terminate(_) => Signal::SIGTERM,
            Self::Kill => Signal::SIGKILL,
        }
    }
}

/// Returns the outcome of an attempt that this machine could not run, though another may.
pub(crate) fn unfit_outcome(reason: String) -> AttemptOutcome {
    debug!(reason, "attempt returned to the leader");
    AttemptOutcome::WorkerUnfit { detail: reason }
}

/// An executor of attempts.
#[derive(Debug)]
pub(crate) enum Executor {
    /// Runs attempts as processes of this machine.
    Process(ProcessExecutor),
    /// Runs nothing: each attempt ends immediately. For load tests.
    Noop(NoopExecutor),
}

impl Executor {
    /// Starts an attempt; its end is sent to the channel of the executor.
    pub(crate) fn start(&self, launch: Launch) {
        match self {
            Self::Process(executor) => executor.start(launch),
            Self::Noop(executor) => executor.start(&launch),
        }
    }

    /// Stops an attempt; does nothing if it has ended.
    pub(crate) fn stop(&self, attempt: AttemptRef, stop: Stop) {
        self.running().stop(attempt, stop);
    }

    /// Kills everything.
    pub(crate) fn kill_all(&self) {
        self.running().kill_all();
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        self.running().idle().await;
    }

    /// Kills processes of attempts that have ended. It blocks.
    pub(crate) fn kill_strays(&self) {
        match self {
            Self::Process(executor) => executor.kill_strays(),
            Self::Noop(_) => {}
        }
    }

    const fn running(&self) -> &Running {
        match self {
            Self::Process(executor) => executor.running(),
            Self::Noop(executor) => executor.running(),
        }
    }
}

/// The attempts that an executor runs, and the way to stop each.
#[derive(Debug, Clone)]
struct Running {
    stops: Arc<Mutex<BTreeMap<AttemptRef, mpsc::UnboundedSender<Stop>>>>,
    count: watch::Sender<usize>,
    /// Unbounded, for it never holds more than there are attempts, and those are limited.
    ended: mpsc::UnboundedSender<FinishedAttempt>,
}

impl Running {
    fn new(ended: mpsc::UnboundedSender<FinishedAttempt>) -> Self {
        Self { stops: Arc::default(), count: watch::Sender::new(0), ended }
    }

    fn begin(&self, attempt: AttemptRef) -> RunningAttempt {
        let (stop, stops) = mpsc::unbounded_channel();
        self.stops().insert(attempt, stop);
        self.count.send_modify(|count| *count += 1);
        RunningAttempt { attempt, stops, running: self.clone() }
    }

    fn stop(&self, attempt: AttemptRef, stop: Stop) {
        if let Some(stops) = self.stops().get(&attempt) {
            // A closed channel: the attempt has just ended.
            stops.send(stop).unwrap_or_default();
        }
    }

    fn has(&self, attempt: AttemptRef) -> bool {
        self.stops().contains_key(&attempt)
    }

    fn is_empty(&self) -> bool {
        self.stops().is_empty()
    }

    fn kill_all(&self) {
        for stops in self.stops().values() {
            stops.send(Stop::Kill).unwrap_or_default();
        }
    }

    async fn idle(&self) {
        // The sender lives in `self`, so the channel stays open.
        let mut count = self.count.subscribe();
        count.wait_for(|count| *count == 0).await.map(drop).unwrap_or_default();
    }

    fn report(&self, ended: FinishedAttempt) {
        // The receiver is gone when the worker stops hard.
        self.ended.send(ended).unwrap_or_default();
    }

    fn stops(
        &self,
    ) -> parking_lot::MutexGuard<'_, BTreeMap<AttemptRef, mpsc::UnboundedSender<Stop>>> {
        self.stops.lock()
    }
}

/// A running attempt.
#[derive(Debug)]
struct RunningAttempt {
    attempt: AttemptRef,
    stops: mpsc::UnboundedReceiver<Stop>,
    running: Running,
}

impl RunningAttempt {
    async fn stopped(&mut self) -> Stop {
        match self.stops.recv().await {
            Some(stop) => stop,
            None => std::future::pending().await,
        }
    }

    fn end(self, outcome: AttemptOutcome, report: AttemptReport) {
        let (attempt, report) = (self.attempt, report.boxed());
        self.running.report(FinishedAttempt { attempt, outcome, report });
    }
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        self.running.stops().remove(&self.attempt);
        self.running.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}
