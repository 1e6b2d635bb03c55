//! One process under test: started, stopped, frozen and killed at will, and never left behind.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use eventually::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Lines of its log that are shown when a test fails.
const TAIL_LINES: usize = 40;

/// One of our programs, as built beside this test.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // Tests lie in `deps`, programs one level up.
    let places = test.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("the program '{name}' is not built beside {}: run `make build`", test.display())
    })
}

/// The checkout whose tests are run. It need not be the one that they were built from: checkouts may
/// share what is built.
///
/// # Panics
///
/// When the test is not run by cargo.
#[must_use]
pub fn checkout() -> PathBuf {
    let tests = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    tests.parent().unwrap().to_owned()
}

/// Command line and environment of a process.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name in reports.
    pub name: String,
    /// Program to run.
    pub program: PathBuf,
    /// With which arguments.
    pub args: Vec<String>,
    /// Variables added to the environment.
    pub env: Vec<(String, String)>,
    /// Its group id, by which a firewall can tell its packets from those of others.
    pub group: Option<u32>,
    /// The network namespace it lives in, as a file; the test's own when absent.
    pub namespace: Option<PathBuf>,
    /// File of its output.
    pub log: PathBuf,
}

impl Launch {
    /// One of our programs, logging to `dir`.
    #[must_use]
    pub fn of(program: &str, name: &str, dir: &Path, args: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            program: binary(program),
            args,
            env: Vec::new(),
            group: None,
            namespace: None,
            log: dir.join(format!("{name}.log")),
        }
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        // `nsenter` becomes the program, so that its process id is the program's.
        let mut command = match &self.namespace {
            None => Command::new(&self.program),
            Some(namespace) => {
                let mut enter = Command::new("nsenter");
                enter.arg(format!("--net={}", namespace.display())).arg(&self.program);
                enter
            }
        };
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some(group) = self.group {
            command.gid(group);
        }
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }
}

/// A process that dies with its owner.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it.
    #[must_use]
    pub fn start(launch: Launch) -> Self {
        let child = launch.spawn();
        Self { launch, child, ended: None }
    }

    /// Starts it again, as it was started before.
    pub fn restart(&mut self) {
        assert!(!self.is_running(), "{} runs already", self.launch.name);
        self.child = self.launch.spawn();
        self.ended = None;
    }

    /// Returns its name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Returns its command line; a change takes effect at the next restart.
    pub fn launch_mut(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns true until it has ended.
    pub fn is_running(&mut self) -> bool {
        self.exit_status().is_none()
    }

    /// Returns its exit status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Ends it as a power cut would: SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if self.is_running() {
            self.child.kill().unwrap();
            self.ended = Some(self.child.wait().unwrap());
        }
    }

    /// Freezes it (SIGSTOP).
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Thaws it (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let pid = i32::try_from(self.child.id()).unwrap();
            kill(Pid::from_raw(pid), signal).unwrap();
        }
    }

    /// Waits for its end.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.launch.name);
        eventually(&what, within, async || self.exit_status().ok_or("it still runs".to_owned()))
            .await
    }

    /// All it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.launch.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = self.ended.map_or("running".to_owned(), |status| status.to_string());
            eprintln!("--- {} ({state}), the last of its log:", self.launch.name);
            let log = self.log();
            let lines = log.lines().collect::<Vec<_>>();
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
                eprintln!("    {line}");
            }
        }
        // Nothing more can be done about one that will not die.
        self.child.kill().unwrap_or_default();
        self.child.wait().ok();
    }
}
