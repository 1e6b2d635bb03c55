//! The keeper of a worker: a small process that outlives the worker, however the worker ends, and
//! ends the processes that it left running. Otherwise tasks of a killed worker would go on while
//! the leader assigns them to other workers.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::Incarnation;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, setsid};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::leftovers::{LeftoversError, ProcessRecords};
use crate::processes::{Children, HomeId, Whose};

/// Time from SIGTERM to SIGKILL. Much shorter than any lease, before whose end no other worker runs
/// the tasks.
const GRACE: Duration = Duration::from_secs(2);
/// Pause before a keeper that has ended is replaced.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Signals that a user may send to all processes of a service or a terminal. The keeper ignores
/// them and ends with the worker.
const WITHSTOOD: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// Arguments of a keeper.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct KeeperArgs {
    /// Directory in which the worker records its process groups
    #[arg(long)]
    running: PathBuf,
    /// The worker's directory, as device and inode
    #[arg(long)]
    home: HomeId,
    /// The worker's process start
    #[arg(long, value_parser = parse_incarnation)]
    incarnation: Incarnation,
}

fn parse_incarnation(text: &str) -> Result<Incarnation, String> {
    text.parse().map_err(|_| "no incarnation".to_owned())
}

/// Runs the keeper: waits until the worker, which holds the other end of standard input, is gone,
/// and ends its processes.
pub fn run(args: &KeeperArgs) -> Result<(), KeeperError> {
    WITHSTOOD.into_iter().collect::<SigSet>().thread_block().map_err(io::Error::from)?;
    // Leaves the worker's group and terminal, and so their signals.
    setsid().map_err(io::Error::from)?;
    let mut nothing = Vec::new();
    io::stdin().read_to_end(&mut nothing)?;

    let records = ProcessRecords::open(&args.running)?;
    Ok(records.leftovers(Whose::Incarnation(args.home, args.incarnation))?.end(GRACE)?)
}

/// Reason that a keeper failed.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It cannot wait for the worker's end.
    #[error("cannot wait for the end of the worker")]
    Io(#[from] io::Error),
    /// Some processes are left.
    #[error(transparent)]
    Leftovers(#[from] LeftoversError),
}

/// A running keeper. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    program: PathBuf,
    args: KeeperArgs,
    children: Arc<Children>,
    child: Child,
    id: Pid,
    /// Held open as long as this process lives. (Waiting for a child closes the one that it has.)
    lifeline: Option<ChildStdin>,
}

impl KeeperArgs {
    /// Creates the keeper of this process start.
    pub(crate) const fn new(running: PathBuf, home: HomeId, incarnation: Incarnation) -> Self {
        Self { running, home, incarnation }
    }
}

impl Keeper {
    /// Starts a keeper.
    pub(crate) fn start(
        program: PathBuf,
        args: KeeperArgs,
        children: Arc<Children>,
    ) -> io::Result<Self> {
        let (mut child, id) = spawn(&program, &args, &children)?;
        let lifeline = child.stdin.take();
        Ok(Self { program, args, children, child, id, lifeline })
    }

    /// Starts another keeper whenever one has ended, until the worker stops.
    pub(crate) async fn keep_up(mut self, stop: CancellationToken) {
        loop {
            let ended = tokio::select! {
                ended = self.child.wait() => ended,
                () = stop.cancelled() => return,
            };

            let reason =
                ended.map_or_else(|error| error.to_string(), |s: ExitStatus| s.to_string());
            warn!(reason, "the keeper has ended: tasks would outlive this process");
            self.children.forget(self.id);

            tokio::select! {
                () = tokio::time::sleep(RESTART_PAUSE) => {}
                () = stop.cancelled() => return,
            }
            match spawn(&self.program, &self.args, &self.children) {
                Ok((mut child, id)) => {
                    self.lifeline = child.stdin.take();
                    (self.child, self.id) = (child, id);
                }
                Err(error) => warn!(%error, "cannot start a keeper"),
            }
        }
    }
}

fn spawn(
    program: &std::path::Path,
    args: &KeeperArgs,
    children: &Children,
) -> io::Result<(Child, Pid)> {
    let mut command = Command::new(program);
    command
        .arg0("worker")
        .arg("keeper")
        .arg("--running")
        .arg(&args.running)
        .args(["--home", &args.home.to_string()])
        .args(["--incarnation", &args.incarnation.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    children.start(|| command.spawn())
}
