//! Starts the first process of an attempt, and tells whose fault a failure is.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use cluster_state::{AttemptOutcome, AttemptRef};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tracing::warn;

use super::{Environment, Machine};
use crate::cgroups::Group;
use crate::executor::{Launch, unfit_outcome};
use crate::fitness::Verdict;
use crate::logs::{AttemptLogs, StreamWriter};
use crate::open_files;
use crate::processes::MARK;

/// Maximum length of a failure report: it is kept in the replicated log.
const DETAIL_BYTES_MAX: usize = 1_024;
/// Maximum length of a name in a report, so that the error after it stays readable.
const QUOTE_BYTES_MAX: usize = 200;
/// Length, with name and terminator, from which a string is too long for the kernel on every
/// machine.
const STRING_BYTES_MAX: usize = 128 << 10;
const DIR_MODE: u32 = 0o700;
/// Says that a file in memory is no program: machines may refuse others. Known since Linux 6.3.
const MFD_NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(0x8);

/// The first process of an attempt, with the files for its output.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) first: Pid,
    pub(super) writers: [StreamWriter; 2],
    pub(super) group: Option<Group>,
}

/// Party that has to mend what kept a process from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The task's author: the start would fail anywhere.
    Task,
    /// This machine's operator: the start may succeed elsewhere.
    Machine,
}

/// A failed start of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartFailure {
    pub(super) fault: Fault,
    pub(super) detail: String,
}

impl StartFailure {
    fn task(detail: String) -> Self {
        Self { fault: Fault::Task, detail }
    }

    fn machine(what: impl std::fmt::Display, error: &io::Error) -> Self {
        Self { fault: Fault::Machine, detail: format!("{what}: {error}") }
    }

    /// Returns the outcome to report for the attempt.
    pub(super) fn outcome(mut self) -> AttemptOutcome {
        self.detail.truncate(self.detail.floor_char_boundary(DETAIL_BYTES_MAX));
        match self.fault {
            Fault::Task => AttemptOutcome::StartFailed { detail: self.detail },
            Fault::Machine => unfit_outcome(self.detail),
        }
    }

    /// Returns the verdict on the machine.
    pub(super) fn verdict(&self) -> Verdict {
        match self.fault {
            Fault::Task => Verdict::Doubtful,
            Fault::Machine => Verdict::Bad(self.detail.clone()),
        }
    }
}

impl Machine {
    /// Starts an attempt: first creates its files, then the process.
    pub(super) fn start(
        &self,
        launch: &Launch,
        variables: Vec<(String, String)>,
        logs: &AttemptLogs,
    ) -> Result<Started, StartFailure> {
        let [program, arguments @ ..] = launch.command.as_slice() else {
            let detail = "there is no command, and this worker does not run images".to_owned();
            return Err(StartFailure::task(detail));
        };
        let own_dir = logs.working_dir();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(&own_dir)
            .map_err(|error| StartFailure::machine(own_dir.display(), &error))?;
        let writers = logs.create().map_err(|error| StartFailure::machine("log files", &error))?;
        let working_dir = launch.working_dir.as_deref().unwrap_or(&own_dir);
        check_working_dir(working_dir)?;

        let stdin =
            stdin(launch).map_err(|error| StartFailure::machine("standard input", &error))?;
        let group = self.group_for(launch)?;
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(working_dir)
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.set_environment(&mut command, launch);
        command.envs(variables).env("CLOUDAI_RESULT", logs.result_path());
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        let (child, first) = self
            .children
            .start(|| command.spawn())
            .inspect_err(|_| group.iter().for_each(Group::remove))
            .map_err(|error| explain(launch, program, &error))?;

        group.iter().for_each(|group| group.enter(first));
        self.lower_open_files(first);
        self.records.put(launch.attempt, first);
        Ok(Started { child, first, writers, group })
    }

    fn group_for(&self, launch: &Launch) -> Result<Option<Group>, StartFailure> {
        let Some(groups) = &self.environment.cgroups else { return Ok(None) };
        let created = groups.create(launch.attempt, launch.room.as_ref());
        created.map(Some).map_err(|error| StartFailure::machine("control group", &error))
    }

    fn set_environment(&self, command: &mut std::process::Command, launch: &Launch) {
        let Environment { worker_id, passed, .. } = &self.environment;
        passed.restrict(command);
        let AttemptRef { task, attempt } = launch.attempt;
        command
            .envs(&launch.env)
            .env("CLOUDAI_TASK_ID", task.to_string())
            .env("CLOUDAI_ATTEMPT", attempt.0.to_string())
            .env("CLOUDAI_WORKER_ID", worker_id.as_str())
            .env(MARK, self.mark(launch.attempt).to_string());
    }

    /// Lowers the soft limit of the process to the one that the worker had before it raised its
    /// own: programs that use `select`, or close every possible descriptor, cannot cope with a high
    /// limit. The hard limit stays.
    fn lower_open_files(&self, first: Pid) {
        let Some(soft) = self.environment.open_files else { return };
        if let Err(error) = open_files::set_soft(first, soft) {
            // It may have ended already.
            warn!(process = %first, %error, "cannot lower the limit of open files");
        }
    }
}

/// Returns the standard input of a process. It is a file in memory, so nobody has to feed a pipe.
fn stdin(launch: &Launch) -> io::Result<Stdio> {
    let Some(bytes) = launch.stdin.as_ref().filter(|bytes| !bytes.is_empty()) else {
        return Ok(Stdio::null());
    };
    let create = |flags| memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC | flags);
    let created = match create(MFD_NOEXEC_SEAL) {
        Err(Errno::EINVAL) => create(MFdFlags::empty()),
        created => created,
    };
    let mut file = File::from(created?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Checks the working directory: otherwise a missing directory looks like a missing program.
fn check_working_dir(dir: &Path) -> Result<(), StartFailure> {
    let name = quote(&dir.display().to_string());
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(StartFailure::task(format!("working directory {name} is no directory"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StartFailure::task(format!("working directory {name} does not exist")))
        }
        Err(error) => Err(StartFailure {
            fault: fault_of(&error),
            detail: format!("working directory {name}: {error}"),
        }),
    }
}

/// Puts the cause before the error, shortened to a readable length.
fn explain(launch: &Launch, program: &str, error: &io::Error) -> StartFailure {
    let culprit = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::E2BIG) => longest(launch),
        _ => None,
    };
    let culprit = culprit.unwrap_or_else(|| quote(program));
    StartFailure { fault: fault_of(error), detail: format!("{culprit}: {error}") }
}

/// Returns the single string that is too long, if there is one.
fn longest(launch: &Launch) -> Option<String> {
    let arguments = launch.command.iter().enumerate().map(|(position, argument)| {
        let name = match position {
            0 => format!("program {}", quote(argument)),
            position => format!("argument {position}"),
        };
        (name, argument.len() + 1)
    });
    let variables = launch
        .env
        .iter()
        .map(|(name, value)| (format!("variable {}", quote(name)), name.len() + value.len() + 2));
    let too_long = |(_, len): &(String, usize)| *len > STRING_BYTES_MAX;
    arguments.chain(variables).find(too_long).map(|(name, len)| format!("{name} of {len} bytes"))
}

fn quote(name: &str) -> String {
    if name.len() <= QUOTE_BYTES_MAX {
        return name.to_owned();
    }
    let start = name.get(..name.floor_char_boundary(QUOTE_BYTES_MAX)).unwrap_or_default();
    format!("{start}… ({} bytes)", name.len())
}

fn fault_of(error: &io::Error) -> Fault {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(
            Errno::ENOENT
            | Errno::EACCES
            | Errno::EPERM
            | Errno::ENOEXEC
            | Errno::E2BIG
            | Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::EINVAL
            | Errno::ETXTBSY
            | Errno::ELIBBAD,
        ) => Fault::Task,
        // A string with a zero byte never reaches the kernel.
        None if error.kind() == io::ErrorKind::InvalidInput => Fault::Task,
        Some(_) | None => Fault::Machine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_lacks_is_the_tasks_fault_and_what_the_machine_lacks_is_not() {
        let fault = |errno: Errno| fault_of(&io::Error::from(errno));
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC, Errno::E2BIG, Errno::ENOTDIR] {
            assert_eq!(fault(errno), Fault::Task, "{errno}");
        }
        for errno in [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::EAGAIN,
            Errno::ENOMEM,
            Errno::ENOSPC,
            Errno::EROFS,
            Errno::EIO,
        ] {
            assert_eq!(fault(errno), Fault::Machine, "{errno}");
        }
    }

    #[test]
    fn a_long_name_leaves_room_for_the_error() {
        let quoted = quote(&"x".repeat(131_071));
        assert!(quoted.len() < 300 && quoted.ends_with("x… (131071 bytes)"), "{quoted}");
        assert_eq!(quote("sh"), "sh");
    }
}
