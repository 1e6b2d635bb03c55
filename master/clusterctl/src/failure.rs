//! Failures of commands and the exit codes of the process.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use credentials::{CertificateFault, CredentialsError, IssueError};
use proto::backup::BackupError;
use proto::client::ClientError;
use proto::problem::{ErrorKind, Outcome};

use crate::authority::AuthorityError;
use crate::bearer::TokenError;
use crate::connection::ConnectionError;
use crate::contexts::ContextsError;
use crate::local_cluster::LocalClusterError;
use crate::secret_source::SecretError;
use crate::stdin_source::StdinError;
use crate::task_file::TaskFileError;

/// Reason that a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The issuer's key would be sent in clear text.
    #[error(
        "the issuer's key is sent over an encrypted connection only: give --cacert, --cert and --key"
    )]
    KeyInClearText,
    /// Masters will soon show certificates that this client does not believe.
    #[error(
        "{} does not hold the new root, and masters will soon show certificates of it: cat {} >> {}",
        trusted.display(), root.display(), trusted.display()
    )]
    TrustsOldOnly { trusted: PathBuf, root: PathBuf },
    /// A call to the cluster failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A submission failed that may have been accepted nevertheless.
    #[error("{source}")]
    Submit {
        source: ClientError,
        /// Key under which it may be repeated.
        idempotency_key: String,
    },
    /// There is no token to present.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Contexts cannot be used.
    #[error(transparent)]
    Contexts(#[from] ContextsError),
    /// Files of a certificate are missing.
    #[error("{given} is given, and {missing} is missing")]
    Incomplete {
        /// File that is given.
        given: &'static str,
        /// File that is missing beside it.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}", source_name(path))]
    ReadFile { path: PathBuf, source: io::Error },
    /// Files do not hold tasks.
    #[error(transparent)]
    TaskFile(#[from] TaskFileError),
    /// Files hold several tasks for one schedule, or none.
    #[error("a schedule has one task, and here are others")]
    NotOneTask,
    /// A secret of a task has no value.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A task cannot be given its standard input.
    #[error(transparent)]
    Stdin(#[from] StdinError),
    /// A task is over and has left no result.
    #[error("task {task_id} has no result: {reason}")]
    NoResult { task_id: String, reason: String },
    /// No master leads.
    #[error("the cluster has no leader")]
    NoLeader,
    /// A task that was waited for is not finished yet.
    #[error("task {task_id} is still {state}")]
    StillGoing { task_id: String, state: Cow<'static, str> },
    /// A task that was waited for did not complete, as was printed.
    #[error("a task did not complete")]
    TaskFailed,
    /// An order about many tasks was not confirmed.
    #[error("nothing was done: --yes confirms it where nobody can be asked")]
    NotConfirmed,
    /// An order about many tasks stopped before its end.
    #[error("job {job_id} has stopped: {reason}")]
    JobStopped { job_id: String, reason: String },
    /// An order about many tasks is not carried out yet.
    #[error("job {job_id} is still under way, {percent} % of it is done; it goes on")]
    JobStillGoing {
        job_id: String,
        /// Part that it has passed.
        percent: u32,
    },
    /// A worker that was waited for still runs tasks.
    #[error("worker {worker_id} is still draining, {tasks} left; the drain goes on")]
    StillDraining {
        worker_id: String,
        /// Number of tasks that it runs.
        tasks: u32,
    },
    /// Somebody else gave another order during a drain.
    #[error("worker {worker_id} is not draining any more: somebody has given another order")]
    DrainOverruled { worker_id: String },
    /// A named worker was not reached.
    #[error("worker {worker_id} was not reached: {outcome}")]
    NotReached {
        worker_id: String,
        /// Outcome of the attempt to contact it.
        outcome: Cow<'static, str>,
    },
    /// The cluster has no setting of that path.
    #[error("the cluster has no setting '{key}': clusterctl config get lists them")]
    NoSuchSetting { key: String },
    /// A setting is named without a value.
    #[error("{key} has no value")]
    NoValue { key: String },
    /// A setting is given two values.
    #[error("{key} is given twice")]
    TwoValues { key: String },
    /// The level has not risen in time.
    #[error("the feature level is still {level}: {next_step}")]
    StillUpgrading { level: u32, next_step: String },
    /// Commands at the prompt failed; each failure was printed.
    #[error("a command failed")]
    Shell {
        /// Exit code of the last failure.
        exit_code: u8,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    /// Certificates cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// An authority cannot be made or used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file holds no certificates.
    #[error("{}", path.display())]
    Certificate { path: PathBuf, source: CertificateFault },
    /// The program that does the work cannot be started.
    #[error("cannot start {}", path.display())]
    Program { path: PathBuf, source: io::Error },
    /// A file is there already.
    #[error("{} exists: --force replaces it", path.display())]
    FileExists { path: PathBuf },
    /// A file is not a whole backup.
    #[error("{}", source_name(path))]
    Backup { path: PathBuf, source: BackupError },
    /// A backup was damaged on its way.
    #[error("the backup did not arrive as a whole")]
    Received(#[source] BackupError),
    /// A master says nothing more.
    #[error("the master has sent nothing for {} s", waited.as_secs())]
    Silent { waited: Duration },
    /// Somebody has stopped the command.
    #[error("interrupted")]
    Interrupted,
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// A value cannot be written as JSON.
    #[error("cannot write the output as JSON")]
    Json(#[from] serde_json::Error),
    /// The local cluster failed.
    #[error(transparent)]
    LocalCluster(#[from] LocalClusterError),
}

impl Failure {
    /// Returns the exit code: 1 error, 2 usage, 3 not found, 4 conflict, 5 not authorized, 6 no
    /// leader, 7 timeout, 8 a task that was waited for failed, 9 a backup is damaged. Most errors of
    /// usage end the process before any command runs.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) | Self::Submit { source: error, .. } => code_of(error.kind()),
            Self::LocalCluster(LocalClusterError::Client(error)) => code_of(error.kind()),
            Self::NoLeader => 6,
            Self::NoValue { .. }
            | Self::NotOneTask
            | Self::NotConfirmed
            | Self::Secret(_)
            | Self::Stdin(StdinError::Taken | StdinError::TooLarge { .. })
            | Self::KeyInClearText
            | Self::TrustsOldOnly { .. }
            | Self::TwoValues { .. }
            | Self::Token(_)
            | Self::Incomplete { .. }
            | Self::Authority(
                AuthorityError::Name(_) | AuthorityError::Issue(IssueError::Host(_)),
            ) => 2,
            Self::Contexts(error) => code_of_contexts(error),
            Self::NoSuchSetting { .. } | Self::NoResult { .. } => 3,
            Self::DrainOverruled { .. }
            | Self::FileExists { .. }
            | Self::Authority(AuthorityError::Exists(_) | AuthorityError::OtherTrusted(_)) => 4,
            Self::StillGoing { .. }
            | Self::JobStillGoing { .. }
            | Self::StillDraining { .. }
            | Self::StillUpgrading { .. }
            | Self::Silent { .. } => 7,
            Self::Shell { exit_code } => *exit_code,
            Self::TaskFailed => 8,
            Self::Backup { source, .. } | Self::Received(source) => code_of_backup(source),
            // The reader has seen enough, as `head` has.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_)
            | Self::ReadFile { .. }
            | Self::WriteFile { .. }
            | Self::Program { .. }
            | Self::Interrupted
            | Self::JobStopped { .. }
            | Self::TaskFile(_)
            | Self::Stdin(StdinError::Unreadable { .. })
            | Self::Credentials(_)
            | Self::Certificate { .. }
            | Self::Authority(_)
            | Self::Json(_)
            | Self::LocalCluster(_)
            | Self::NotReached { .. } => 1,
        }
    }

    /// Returns the message to print, unless it was printed already or nobody reads it.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let is_told = matches!(self, Self::TaskFailed | Self::Shell { .. });
        let is_silent = is_told || self.exit_code() == 0;
        if is_silent {
            return None;
        }

        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let error_text = error.to_string();
            if !text.contains(&error_text) {
                text = format!("{text}: {error_text}");
            }
            cause = error.source();
        }

        if let Some(error) = self.client_error() {
            text.push_str(&more_faults(error));
        }
        if let Self::Submit { source, idempotency_key } = self
            && source.outcome() == Outcome::Unknown
        {
            text = format!(
                "{text}\nit may have been accepted: repeat it with --idempotency-key \
                 {idempotency_key} to find out"
            );
        }
        Some(text)
    }

    fn client_error(&self) -> Option<&ClientError> {
        match self {
            Self::Client(error) | Self::Submit { source: error, .. } => Some(error),
            Self::LocalCluster(LocalClusterError::Client(error)) => Some(error),
            Self::ReadFile { .. }
            | Self::NotOneTask
            | Self::Credentials(_)
            | Self::WriteFile { .. }
            | Self::Program { .. }
            | Self::FileExists { .. }
            | Self::Backup { .. }
            | Self::Received(_)
            | Self::Silent { .. }
            | Self::KeyInClearText
            | Self::TrustsOldOnly { .. }
            | Self::Interrupted
            | Self::TaskFile(_)
            | Self::NoLeader
            | Self::NotConfirmed
            | Self::JobStopped { .. }
            | Self::JobStillGoing { .. }
            | Self::StillGoing { .. }
            | Self::StillDraining { .. }
            | Self::StillUpgrading { .. }
            | Self::DrainOverruled { .. }
            | Self::NotReached { .. }
            | Self::NoSuchSetting { .. }
            | Self::NoValue { .. }
            | Self::TwoValues { .. }
            | Self::Shell { .. }
            | Self::TaskFailed
            | Self::Output(_)
            | Self::Contexts(_)
            | Self::Incomplete { .. }
            | Self::Token(_)
            | Self::Secret(_)
            | Self::Stdin(_)
            | Self::NoResult { .. }
            | Self::Certificate { .. }
            | Self::Authority(_)
            | Self::Json(_)
            | Self::LocalCluster(_) => None,
        }
    }
}

fn source_name(path: &Path) -> String {
    if path == Path::new("-") {
        return "standard input".to_owned();
    }
    path.display().to_string()
}

/// Formats the faults that the problem's own text does not name, one per line.
fn more_faults(error: &ClientError) -> String {
    let faults = error.problem().map(|problem| problem.errors.as_slice()).unwrap_or_default();
    faults.iter().skip(1).map(|fault| format!("\n  {fault}")).collect()
}

/// A backup that is whole and cannot be read here is not damaged.
const fn code_of_backup(error: &BackupError) -> u8 {
    match error {
        BackupError::Cut { .. } | BackupError::Damaged { .. } | BackupError::Trailing { .. } => 9,
        BackupError::NotABackup | BackupError::NewerFormat { .. } => 1,
    }
}

const fn code_of_contexts(error: &ContextsError) -> u8 {
    match error {
        ContextsError::Unknown(_) | ContextsError::NoneCurrent => 3,
        ContextsError::NoPlace
        | ContextsError::Exposed { .. }
        | ContextsError::Form { .. }
        | ContextsError::Name(_) => 2,
        ContextsError::Unreadable { .. } | ContextsError::Unwritable { .. } => 1,
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Contexts(error) => error.into(),
            ConnectionError::Token(error) => error.into(),
            ConnectionError::Incomplete { given, missing } => Self::Incomplete { given, missing },
        }
    }
}

const fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound => 3,
        ErrorKind::Conflict
        | ErrorKind::NameInUse
        | ErrorKind::TooFewVoters
        | ErrorKind::NotCaughtUp
        | ErrorKind::IdempotencyConflict
        | ErrorKind::IndexAhead => 4,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => 5,
        ErrorKind::NoLeader | ErrorKind::NotLeader => 6,
        ErrorKind::Timeout | ErrorKind::RequestTimeout => 7,
        ErrorKind::Malformed
        | ErrorKind::UnknownField
        | ErrorKind::InvalidTask
        | ErrorKind::InvalidValue
        | ErrorKind::MethodNotAllowed
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::LimitReached
        | ErrorKind::QueueFull
        | ErrorKind::Overloaded
        | ErrorKind::DiskFull
        | ErrorKind::Internal => 1,
    }
}

#[cfg(test)]
mod tests;
