//! Faults of a message, and the list in which they are collected.

use std::fmt;

use cluster_state::InvalidId;

use crate::problem::{ErrorKind, Fault, Outcome, Problem};

/// Maximum number of faults in an answer; a request of ten thousand bad tasks need not name each.
const FAULTS_MAX: usize = 100;

/// Maximum length of a pointer, and of a detail, in an answer: what is quoted in it may be as long as a
/// message.
const TEXT_BYTES_MAX: usize = 512;

/// Rule that a value in a message breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A value is missing.
    #[error("is required")]
    Required,
    /// A text is longer than its bound.
    #[error("is {bytes} bytes long: at most {max} are allowed")]
    TooLong {
        /// Length in bytes.
        bytes: usize,
        max: usize,
    },
    /// A value excludes another that is given, too.
    #[error("cannot be given beside {other}")]
    Excludes { other: &'static str },
    /// A selection of tasks has no condition, and does not say that all are meant.
    #[error("is required where no condition says which tasks are meant")]
    NoCondition,
    /// A state of tasks is unknown, or one to whose tasks the order does nothing.
    #[error("is no state of tasks to {action}")]
    StateOfOrder {
        /// Name of the order.
        action: &'static str,
    },
    /// A list or map has more elements than its bound.
    #[error("has {count} elements: at most {max} are allowed")]
    TooMany { count: usize, max: usize },
    /// A submission has more tasks than are accepted at once.
    #[error("a submission has at most {max} tasks")]
    TooManyTasks { max: usize },
    /// A task has more constraints than it may have.
    #[error("has too many elements: at most {max} are allowed")]
    TooManyConstraints { max: usize },
    /// A number is out of its range.
    #[error("is out of range: {min} to {max} are allowed")]
    OutOfRange { min: u64, max: u64 },
    /// A count of processors is no number, negative, too large or too fine.
    #[error("is not a count of processors: 0 to {max} with at most three decimals are allowed")]
    Processors { max: u64 },
    /// A text holds the character that ends texts for the operating system.
    #[error("holds a NUL character")]
    Nul,
    /// The name of an environment variable is empty or holds `=`.
    #[error("is not the name of an environment variable")]
    EnvironmentName,
    /// A duration is not in the format of durations.
    #[error("is not a duration: write it as in 250ms, 30s or 5m")]
    Duration,
    /// A duration is longer than its bound.
    #[error("is longer than a year")]
    DurationTooLong,
    /// A wait between attempts is longer than its bound.
    #[error("is longer than a day")]
    BackoffTooLong,
    /// A time is not in the format of times.
    #[error("is not a time: write it as in 2030-01-31T12:00:00Z")]
    Time,
    /// A text is neither a time nor a duration.
    #[error("is neither a duration, as in 2h, nor a time, as in 2030-01-31T12:00:00Z")]
    TimeOrDuration,
    /// A task would have to be over before it may start.
    #[error("is not after the time at which the task may start")]
    NotAfterStart,
    /// A number with decimals is out of its range, or too fine.
    #[error("is not a number from {min} to {max} with at most three decimals")]
    Decimal { min: u32, max: u32 },
    /// A text names no exit codes.
    #[error("is not an exit code from 1 to 255, nor a range of them as in 64-78")]
    ExitCodes,
    /// A text cannot be the local name of a task.
    #[error(
        "is not a local name: 1 to 64 letters, digits, '-', '_' and '.' are allowed, but nothing like \
         the id t17"
    )]
    LocalName,
    /// Two tasks have one local name.
    #[error("is the name of task {other} of the submission, too")]
    SecondLocalName {
        /// Position of the other one.
        other: u32,
    },
    /// A text stands for no task.
    #[error("is neither the id of a task, as in t17, nor a local name of this submission")]
    UnknownLocalName,
    /// A task is to wait for itself.
    #[error("is the task itself")]
    OwnDependency,
    /// A task is to wait for another one twice.
    #[error("is named twice")]
    SecondDependency,
    /// Tasks are to wait for each other.
    #[error("makes a circle: {way}")]
    Cycle {
        /// Local names, each of a task that waits for the next one.
        way: String,
    },
    /// A task is to wait for more tasks than it may.
    #[error("names {count} tasks with those of the other list: at most {max} are allowed")]
    TooManyDependencies { count: usize, max: usize },
    /// The tasks of a submission wait for more tasks than they may.
    #[error("the tasks of a submission wait for at most {max} others together")]
    TooManyInSubmission { max: usize },
    /// A duration that must be positive is zero.
    #[error("must be more than zero")]
    ZeroDuration,
    /// A constraint's operator is unknown.
    #[error("is not one of =, !=, in, exists")]
    Operator,
    /// A constraint has too few or too many values for its operator.
    #[error("has {count} values: {wanted}")]
    OperandCount {
        count: usize,
        /// Description of the accepted values.
        wanted: &'static str,
    },
    /// A text is no address.
    #[error("is not an address: expected host:port")]
    Address,
    /// A worker's address means another machine to some masters.
    #[error(
        "names the worker's own machine, {address}, which masters on other machines cannot reach: \
         an address of its network is needed (--advertise, or --listen)"
    )]
    Loopback { address: String },
    /// An address is one to listen on, not to call.
    #[error("is an address to listen on: others need the host where it can be reached")]
    Unspecified,
    /// A choice for a silent worker's tasks is unknown.
    #[error("is not one of keep, requeue")]
    OnDisconnect,
    /// An order about a worker's scheduling is unknown.
    #[error("is not one of cordon, uncordon, drain")]
    SchedulingOrder,
    /// A timeout is given without a drain.
    #[error("is only allowed for a drain")]
    TimeoutWithoutDrain,
    /// A label is both set and removed.
    #[error("is set by the same request")]
    SetAndRemoved,
    /// The time of a rate is out of its range, or too fine.
    #[error("is out of range: whole seconds from 1s to 24h are allowed")]
    RateTime,
    /// A policy for runs that overlap is unknown.
    #[error("is not one of skip, buffer_one, allow")]
    Overlap,
    /// The time by which a run may be late is out of its range.
    #[error("is out of range: 10s to a year are allowed")]
    CatchUpWindow,
    /// The task of a schedule would be bound to one point in time.
    #[error("is a point in time, which runs of a schedule cannot share")]
    PointInTime,
    /// The task of a schedule would wait for others, or be one that others wait for.
    #[error("is not for the task of a schedule, which waits for no others")]
    GraphOfSchedule,
    /// The role of a user is unknown.
    #[error("is not one of viewer, submitter, operator, admin")]
    Role,
    /// The scope of a user is no label.
    #[error("is not a label: write it as in team=blue")]
    Scope,
    /// A scope is given to a user that reaches more than tasks.
    #[error("is only for viewers and submitters")]
    ScopeOfRole,
    /// A join token has no name or no secret.
    #[error("is not a join token: expected its name, a dot, and its secret")]
    JoinToken,
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

/// A message that breaks rules: which, and where.
///
/// One rule holds for the bodies of all requests. What is no JSON, or JSON of another shape, is
/// malformed (400); a value of the right shape that is not allowed there, be it a name, a label, an
/// address or a duration, makes the body invalid (422) and is pointed at. Paths and queries have
/// no such difference: whatever is wrong with a parameter is malformed (400).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    kind: ErrorKind,
    faults: Vec<Fault>,
    /// Number of faults beyond the listed ones.
    unlisted: usize,
}

impl Invalid {
    /// Creates one breach of a message that is not a task and has the right shape.
    pub fn malformed(pointer: impl Into<String>, breach: &Breach) -> Self {
        let fault = fault(pointer.into(), breach);
        Self { kind: ErrorKind::InvalidValue, faults: vec![fault], unlisted: 0 }
    }

    /// Creates the faults of a message whose values are read elsewhere.
    #[must_use]
    pub fn listed(kind: ErrorKind, faults: Vec<Fault>) -> Self {
        let unlisted = faults.len().saturating_sub(FAULTS_MAX);
        let faults = faults.into_iter().take(FAULTS_MAX).map(bounded).collect();
        Self { kind, faults, unlisted }
    }

    /// Creates the breach of a list that is longer than its bound.
    pub(super) fn too_long(pointer: &str, breach: &Breach) -> Self {
        let fault = fault(pointer.to_owned(), breach);
        Self { kind: ErrorKind::LimitReached, faults: vec![fault], unlisted: 0 }
    }

    /// Returns all faults, in the order found.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

fn fault(pointer: String, breach: &Breach) -> Fault {
    bounded(Fault { pointer, detail: breach.to_string() })
}

fn bounded(mut fault: Fault) -> Fault {
    for text in [&mut fault.pointer, &mut fault.detail] {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    fault
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.faults.split_first() else {
            return f.write_str("the request is not valid");
        };
        first.fmt(f)?;
        match others.len().saturating_add(self.unlisted) {
            0 => Ok(()),
            1 => f.write_str(" (and 1 other fault)"),
            count => write!(f, " (and {count} other faults)"),
        }
    }
}

impl std::error::Error for Invalid {}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let detail = invalid.to_string();
        Self {
            kind: invalid.kind,
            detail,
            errors: invalid.faults,
            outcome: Some(Outcome::Rejected),
            request_id: None,
        }
    }
}

impl From<Invalid> for tonic::Status {
    fn from(invalid: Invalid) -> Self {
        Problem::from(invalid).into()
    }
}

/// Collects faults while a message is read to its end.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// JSON pointer of the part that is being read.
    at: String,
    list: Vec<Fault>,
    unlisted: usize,
}

impl Faults {
    /// Makes later pointers relative to `at`.
    pub(super) fn enter(&mut self, at: String) {
        self.at = at;
    }

    pub(super) fn add(&mut self, pointer: &str, breach: &Breach) {
        if self.list.len() == FAULTS_MAX {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        self.list.push(fault(format!("{}{pointer}", self.at), breach));
    }

    /// Returns the value, or none after recording the fault.
    pub(super) fn keep<T>(&mut self, pointer: &str, read: Result<T, Breach>) -> Option<T> {
        read.map_err(|breach| self.add(pointer, &breach)).ok()
    }

    pub(super) fn finish<T>(self, kind: ErrorKind, value: T) -> Result<T, Invalid> {
        if self.list.is_empty() {
            return Ok(value);
        }
        Err(Invalid { kind, faults: self.list, unlisted: self.unlisted })
    }
}
