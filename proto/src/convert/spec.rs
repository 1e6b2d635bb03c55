//! Converts submitted tasks: fills in defaults, and collects all faults at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, ConcurrencyKey, Constraint, ConstraintOp, Dependency, Limits, Link, OnDisconnect,
    Payload, QueueName, TaskSpec, Timing, WorkerId,
};

use super::dependencies::{self, LocalNames};
use super::faults::Faults;
use super::{Breach, Invalid, member, resources, time, timing};
use crate::problem::ErrorKind;
use crate::v1;

/// Priority of a task that names none: the middle.
pub const PRIORITY_DEFAULT: u8 = 50;
/// Number of failed attempts after which a task has failed, when it names none.
pub const MAX_ATTEMPTS_DEFAULT: u32 = 3;
/// Pause before the second attempt, when the task names none.
pub const RETRY_BACKOFF_DEFAULT: Duration = Duration::from_secs(1);

/// Maximum length of a name, a label key and a label value: they appear in tables and queries.
pub(super) const LABEL_BYTES_MAX: usize = 256;
/// Maximum number of labels of a task or worker.
const LABELS_MAX: usize = 64;
/// Maximum bytes of a command with its arguments: the limit of Linux for a single one.
const COMMAND_BYTES_MAX: usize = 128 * 1024;
/// Maximum bytes of the environment, names and values together.
const ENV_BYTES_MAX: usize = 128 * 1024;
/// Maximum bytes of one argument, or of one variable as `NAME=value`, with its terminator: Linux's
/// `MAX_ARG_STRLEN`, beyond which no program starts.
const STRING_BYTES_MAX: usize = 128 * 1024;
/// Maximum number of variables in the environment.
const ENV_ENTRIES_MAX: usize = 1_024;
/// Maximum length of a path in Linux: `PATH_MAX` without the terminator.
const PATH_BYTES_MAX: usize = 4_095;
/// Maximum number of constraints of one task.
pub(crate) const CONSTRAINTS_MAX: usize = 32;
/// Maximum number of values of one constraint.
const OPERANDS_MAX: usize = 64;

impl TryFrom<v1::TaskSpec> for TaskSpec {
    type Error = Invalid;

    fn try_from(wire: v1::TaskSpec) -> Result<Self, Invalid> {
        let mut faults = Faults::default();
        let mut names = LocalNames::default();
        names.add(0, &wire, &mut faults);
        let dependencies = names.read(0, &wire, &mut faults);
        let spec = read(wire, dependencies.named, &mut faults);
        faults.finish(ErrorKind::InvalidTask, spec)
    }
}

/// Tasks of one submission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskBatch {
    /// The tasks, in the order of the request.
    pub tasks: Vec<Arc<TaskSpec>>,
    /// Dependencies between them, in order.
    pub links: Vec<Link>,
}

impl From<TaskSpec> for TaskBatch {
    fn from(task: TaskSpec) -> Self {
        Self { tasks: vec![Arc::new(task)], links: Vec::new() }
    }
}

/// Converts a submission; pointers begin with the task's position in it. Neighbors of the same
/// class share it.
pub fn task_batch(wires: Vec<v1::TaskSpec>) -> Result<TaskBatch, Invalid> {
    let (count, max) = (wires.len(), Limits::NEWEST.tasks_per_submit_max);
    if count > max {
        return Err(Invalid::too_long("", &Breach::TooManyTasks { max }));
    }
    let mut faults = Faults::default();
    let mut names = LocalNames::default();
    for (position, wire) in (0_u32..).zip(&wires) {
        faults.enter(format!("/{position}"));
        names.add(position, wire, &mut faults);
    }

    let mut specs = Vec::<Arc<TaskSpec>>::with_capacity(count);
    let (mut links, mut dependencies) = (Vec::new(), 0_usize);
    for (position, wire) in (0_u32..).zip(wires) {
        faults.enter(format!("/{position}"));
        let of_task = names.read(position, &wire, &mut faults);
        dependencies = dependencies.saturating_add(of_task.named.len());
        links.extend(of_task.links);
        let mut spec = read(wire, of_task.named, &mut faults);
        if let Some(previous) = specs.last().filter(|previous| previous.class == spec.class) {
            spec.class = Arc::clone(&previous.class);
        }
        specs.push(Arc::new(spec));
    }

    faults.enter(String::new());
    let max = Limits::NEWEST.dependencies_per_submit_max;
    if dependencies.saturating_add(links.len()) > max {
        return Err(Invalid::too_long("", &Breach::TooManyInSubmission { max }));
    }
    if let Some((pointer, breach)) = dependencies::cycle(&links, count, &names) {
        faults.add(&pointer, &breach);
    }
    faults.finish(ErrorKind::InvalidTask, TaskBatch { tasks: specs, links })
}

/// Converts a task to the end in spite of faults; the result is valid only if there are none.
fn read(wire: v1::TaskSpec, dependencies: Box<[Dependency]>, faults: &mut Faults) -> TaskSpec {
    check_command(&wire.command, faults);
    check_env(&wire, faults);
    check_labels("/labels", &wire.labels, faults);
    if let Some(name) = &wire.name {
        check_text("/name", name, LABEL_BYTES_MAX, faults);
    }
    if let Some(dir) = &wire.working_dir {
        check_text("/working_dir", dir, PATH_BYTES_MAX, faults);
    }

    let stdin = stdin(wire.stdin.as_deref(), faults);
    let timing = Timing { dependencies, ..timing::read(&wire, faults) }.boxed();

    let class = Class {
        priority: priority(wire.priority, faults),
        resources: resources::wanted(wire.resources.unwrap_or_default(), faults),
        constraints: constraints(wire.constraints, faults),
        worker: wire
            .worker_id
            .and_then(|id| faults.keep("/worker_id", id.parse::<WorkerId>().map_err(Breach::from))),
        queue: wire
            .queue
            .and_then(|name| faults.keep("/queue", name.parse::<QueueName>().map_err(Breach::from)))
            .unwrap_or_default(),
        concurrency_key: wire.concurrency_key.and_then(|key| {
            faults.keep("/concurrency_key", key.parse::<ConcurrencyKey>().map_err(Breach::from))
        }),
    };

    let retry_backoff = wire
        .retry_backoff
        .as_deref()
        .and_then(|text| faults.keep("/retry_backoff", time::duration(text)))
        .unwrap_or(RETRY_BACKOFF_DEFAULT);
    let run_timeout =
        wire.run_timeout.as_deref().and_then(|text| faults.keep("/run_timeout", timeout(text)));

    TaskSpec {
        name: wire.name,
        command: wire.command,
        env: wire.env.into(),
        working_dir: wire.working_dir,
        stdin,
        class: Arc::new(class),
        max_attempts: max_attempts(wire.max_attempts, faults),
        retry_backoff,
        run_timeout,
        on_disconnect: on_disconnect(wire.on_disconnect, faults),
        labels: wire.labels.into(),
        secret_env: wire.secret_env.into(),
        timing,
    }
}

fn stdin(bytes: Option<&[u8]>, faults: &mut Faults) -> Option<Payload> {
    let bytes = bytes?;
    if bytes.len() > Payload::BYTES_MAX {
        faults.add("/stdin", &Breach::TooLong { bytes: bytes.len(), max: Payload::BYTES_MAX });
        return None;
    }
    // A task that reads nothing is as if it said nothing.
    (!bytes.is_empty()).then(|| Payload::from(bytes))
}

fn on_disconnect(choice: Option<i32>, faults: &mut Faults) -> OnDisconnect {
    match choice.map(v1::OnDisconnect::try_from) {
        None | Some(Ok(v1::OnDisconnect::Keep)) => OnDisconnect::Keep,
        Some(Ok(v1::OnDisconnect::Requeue)) => OnDisconnect::Requeue,
        Some(Ok(v1::OnDisconnect::Unspecified) | Err(_)) => {
            faults.add("/on_disconnect", &Breach::OnDisconnect);
            OnDisconnect::Keep
        }
    }
}

fn check_command(command: &[String], faults: &mut Faults) {
    let bytes = command.iter().map(|argument| argument.len().saturating_add(1)).sum::<usize>();
    if command.first().is_none_or(String::is_empty) {
        faults.add("/command", &Breach::Required);
    }
    if bytes > COMMAND_BYTES_MAX {
        faults.add("/command", &Breach::TooLong { bytes, max: COMMAND_BYTES_MAX });
    }
    for (position, argument) in command.iter().enumerate() {
        // The program is a path; the arguments are strings.
        let max = if position == 0 { PATH_BYTES_MAX } else { STRING_BYTES_MAX - 1 };
        check_text(&format!("/command/{position}"), argument, max, faults);
    }
}

/// Checks both kinds of variables, which share one environment.
fn check_env(wire: &v1::TaskSpec, faults: &mut Faults) {
    let both = [("/env", &wire.env), ("/secret_env", &wire.secret_env)];
    let all = || both.into_iter().flat_map(|(_, variables)| variables);
    let bytes = all().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    if bytes > ENV_BYTES_MAX {
        faults.add("/env", &Breach::TooLong { bytes, max: ENV_BYTES_MAX });
    }
    let count = all().count();
    if count > ENV_ENTRIES_MAX {
        faults.add("/env", &Breach::TooMany { count, max: ENV_ENTRIES_MAX });
    }

    for (pointer, variables) in both {
        for (name, value) in variables {
            check_variable(&member(pointer, name), name, value, faults);
        }
    }
    for name in wire.secret_env.keys().filter(|name| wire.env.contains_key(*name)) {
        faults.add(&member("/secret_env", name), &Breach::Excludes { other: "the same in env" });
    }
}

fn check_variable(pointer: &str, name: &str, value: &str, faults: &mut Faults) {
    if name.is_empty() || name.contains('=') {
        faults.add(pointer, &Breach::EnvironmentName);
    }
    if name.contains('\0') || value.contains('\0') {
        faults.add(pointer, &Breach::Nul);
    }
    // The kernel sees `NAME=value` with a terminator.
    let bytes = name.len().saturating_add(value.len()).saturating_add(2);
    if bytes > STRING_BYTES_MAX {
        faults.add(pointer, &Breach::TooLong { bytes, max: STRING_BYTES_MAX });
    }
}

pub(super) fn check_labels(pointer: &str, labels: &BTreeMap<String, String>, faults: &mut Faults) {
    if labels.len() > LABELS_MAX {
        faults.add(pointer, &Breach::TooMany { count: labels.len(), max: LABELS_MAX });
    }
    for (key, value) in labels {
        if key.is_empty() {
            faults.add(&member(pointer, key), &Breach::Required);
        }
        let bytes = key.len().max(value.len());
        if bytes > LABEL_BYTES_MAX {
            let breach = Breach::TooLong { bytes, max: LABEL_BYTES_MAX };
            faults.add(&member(pointer, key), &breach);
        }
    }
}

fn check_text(pointer: &str, text: &str, max: usize, faults: &mut Faults) {
    if text.len() > max {
        faults.add(pointer, &Breach::TooLong { bytes: text.len(), max });
    }
    if text.contains('\0') {
        faults.add(pointer, &Breach::Nul);
    }
}

fn priority(wire: Option<u32>, faults: &mut Faults) -> u8 {
    let Some(priority) = wire else { return PRIORITY_DEFAULT };
    let read = u8::try_from(priority)
        .ok()
        .filter(|priority| *priority <= Limits::NEWEST.priority_max)
        .ok_or(Breach::OutOfRange { min: 0, max: u64::from(Limits::NEWEST.priority_max) });
    faults.keep("/priority", read).unwrap_or_default()
}

fn max_attempts(wire: Option<u32>, faults: &mut Faults) -> u32 {
    let attempts = wire.unwrap_or(MAX_ATTEMPTS_DEFAULT);
    if !(1..=Limits::NEWEST.attempts_max).contains(&attempts) {
        let breach = Breach::OutOfRange { min: 1, max: u64::from(Limits::NEWEST.attempts_max) };
        faults.add("/max_attempts", &breach);
    }
    attempts
}

fn timeout(text: &str) -> Result<Duration, Breach> {
    let timeout = time::duration(text)?;
    if timeout.is_zero() {
        return Err(Breach::ZeroDuration);
    }
    Ok(timeout)
}

impl From<&Constraint> for v1::Constraint {
    fn from(Constraint { label, op }: &Constraint) -> Self {
        let (op, value) = match op {
            ConstraintOp::Equals(value) => (v1::ConstraintOperator::Equals, vec![value.clone()]),
            ConstraintOp::NotEquals(value) => {
                (v1::ConstraintOperator::NotEquals, vec![value.clone()])
            }
            ConstraintOp::In(values) => (v1::ConstraintOperator::In, values.clone()),
            ConstraintOp::Exists => (v1::ConstraintOperator::Exists, Vec::new()),
        };
        Self { label: label.clone(), op: op.into(), value }
    }
}

fn constraints(wire: Vec<v1::Constraint>, faults: &mut Faults) -> Vec<Constraint> {
    if wire.len() > CONSTRAINTS_MAX {
        faults.add("/constraints", &Breach::TooManyConstraints { max: CONSTRAINTS_MAX });
    }
    let mut constraints = Vec::with_capacity(wire.len().min(CONSTRAINTS_MAX));
    for (position, wire) in wire.into_iter().take(CONSTRAINTS_MAX).enumerate() {
        let at = format!("/constraints/{position}");
        if wire.label.is_empty() {
            faults.add(&format!("{at}/label"), &Breach::Required);
        }
        check_text(&format!("{at}/label"), &wire.label, LABEL_BYTES_MAX, faults);
        for value in &wire.value {
            check_text(&format!("{at}/value"), value, LABEL_BYTES_MAX, faults);
        }
        if let Some(op) = operator(wire.op(), wire.value, &at, faults) {
            constraints.push(Constraint { label: wire.label, op });
        }
    }
    constraints
}

fn operator(
    op: v1::ConstraintOperator,
    values: Vec<String>,
    at: &str,
    faults: &mut Faults,
) -> Option<ConstraintOp> {
    let count = values.len();
    let mut one = |build: fn(String) -> ConstraintOp, values: Vec<String>| {
        let read = <[String; 1]>::try_from(values)
            .map(|[value]| build(value))
            .map_err(|_| Breach::OperandCount { count, wanted: "exactly one is needed" });
        faults.keep(&format!("{at}/value"), read)
    };

    match op {
        v1::ConstraintOperator::Equals => one(ConstraintOp::Equals, values),
        v1::ConstraintOperator::NotEquals => one(ConstraintOp::NotEquals, values),
        v1::ConstraintOperator::In if (1..=OPERANDS_MAX).contains(&count) => {
            Some(ConstraintOp::In(values))
        }
        v1::ConstraintOperator::In => {
            let breach = Breach::OperandCount { count, wanted: "1 to 64 are allowed" };
            faults.add(&format!("{at}/value"), &breach);
            None
        }
        v1::ConstraintOperator::Exists if count == 0 => Some(ConstraintOp::Exists),
        v1::ConstraintOperator::Exists => {
            let breach = Breach::OperandCount { count, wanted: "none is allowed" };
            faults.add(&format!("{at}/value"), &breach);
            None
        }
        v1::ConstraintOperator::Unspecified => {
            faults.add(&format!("{at}/op"), &Breach::Operator);
            None
        }
    }
}

#[cfg(test)]
mod tests;
