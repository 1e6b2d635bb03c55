//! A child process with its log file.

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::Role;

/// Number of lines shown of the log of a process that ended too early.
const LOG_TAIL_LINES: usize = 10;

/// End of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub role: Role,
    /// Process id while it ran.
    pub pid: u32,
    /// Exit status, if the operating system tells it.
    pub status: Option<ExitStatus>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}) ended", self.role, self.pid)?;
        let Some(status) = self.status else { return Ok(()) };
        if let Some(number) = status.signal() {
            let name = Signal::try_from(number).map_or("unknown signal", Signal::as_str);
            return write!(f, " by {name}");
        }
        match status.code() {
            Some(code) => write!(f, " with exit code {code}"),
            None => Ok(()),
        }
    }
}

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    role: Role,
    pid: u32,
    child: Child,
    log: PathBuf,
    exit: Option<Exit>,
}

impl Process {
    /// Starts a program in a process group of its own, so that Ctrl-C on the terminal reaches only
    /// this program, which stops the processes in order.
    pub(super) fn start(
        role: Role,
        program: &Path,
        arguments: Vec<OsString>,
        log: PathBuf,
    ) -> io::Result<Self> {
        let log_file = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { role, pid, child, log, exit: None })
    }

    /// Returns the role of the process in the cluster.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the path of the log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns true until the end of the process was seen.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.exit.is_none()
    }

    pub(super) fn exited(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.exit = Some(self.exit_with(Some(status)));
        }
        Ok(self.exit)
    }

    /// Waits for the end of the process; may be dropped and called again.
    pub(super) async fn wait(&mut self) -> Exit {
        if let Some(exit) = self.exit {
            return exit;
        }
        let status = self.child.wait().await.ok();
        let exit = self.exit_with(status);
        self.exit = Some(exit);
        exit
    }

    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.child.start_kill()?;
        self.wait().await;
        Ok(())
    }

    /// Asks the process to stop, and kills it when it has not ended within `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) {
        let pid = i32::try_from(self.pid).map(Pid::from_raw);
        if let Ok(pid) = pid
            && self.is_running()
        {
            // It may have ended a moment ago, which is fine.
            nix::sys::signal::kill(pid, Signal::SIGTERM).ok();
        }
        if tokio::time::timeout(patience, self.wait()).await.is_err() {
            drop(self.kill().await);
        }
    }

    pub(super) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines = log.lines().collect::<Vec<_>>();
        let skipped = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    const fn exit_with(&self, status: Option<ExitStatus>) -> Exit {
        Exit { role: self.role, pid: self.pid, status }
    }
}
