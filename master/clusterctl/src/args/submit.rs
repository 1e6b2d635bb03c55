//! `task submit`: a flag for every field of a task.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use proto::names::number_of;
use proto::v1;

use super::pair;
use crate::secret_source::SecretSource;
use crate::task_file::TaskFormat;

/// Tasks to submit.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true).args(["files", "command"]))]
pub struct SubmitArgs {
    /// File with one task or a list of them; - is standard input; may be repeated. Flags count before
    /// what it says
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Form of the files [default: as their names tell; standard input is JSON or YAML]
    #[arg(long, value_enum, requires = "files")]
    pub format: Option<TaskFormat>,
    #[command(flatten)]
    pub spec: SpecArgs,
    #[command(flatten)]
    pub timing: TimingArgs,
    #[command(flatten)]
    pub graph: GraphArgs,
    /// Key of this submission: repeating it under the same key has no further effect
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait until the tasks are finished
    #[arg(long)]
    pub wait: bool,
    /// Show the output of the tasks while they run, and wait for their end
    #[arg(long)]
    pub logs: bool,
}

/// Description of a task, and of where it may run.
#[derive(Debug, Default, Args)]
pub struct SpecArgs {
    /// Name for people
    #[arg(long)]
    pub name: Option<String>,
    /// Directory in which the program starts [default: a new one of the attempt's own]
    #[arg(long, value_name = "DIR")]
    pub working_dir: Option<String>,
    /// Processors, with up to three decimals [default: 1]
    #[arg(long)]
    pub cpu: Option<f64>,
    /// Memory in MiB [default: 512]
    #[arg(long, value_name = "MIB")]
    pub memory_mb: Option<u64>,
    /// Disk space in MiB [default: 0]
    #[arg(long, value_name = "MIB")]
    pub storage_mb: Option<u64>,
    /// GPUs [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub gpu: Option<u64>,
    /// Amount of another resource, as in license=1; may be repeated
    #[arg(long = "resource", value_parser = amount, value_name = "NAME=COUNT")]
    pub resources: Vec<(String, u64)>,
    /// 0 to 100, higher first [default: 50]
    #[arg(long)]
    pub priority: Option<u32>,
    /// Condition on the labels of the worker: zone=a, zone!=a, "zone in a,b", or zone for any value;
    /// may be repeated
    #[arg(long = "constraint", value_parser = constraint, value_name = "CONDITION")]
    pub constraints: Vec<v1::Constraint>,
    /// Only worker that may run the task
    #[arg(long, value_name = "WORKER_ID")]
    pub worker: Option<String>,
    /// Queue in which the task waits [default: default]
    #[arg(long, value_name = "NAME")]
    pub queue: Option<String>,
    /// Name shared with tasks of the queue that must not all run at once
    #[arg(long, value_name = "KEY")]
    pub concurrency_key: Option<String>,
    /// Environment variable; may be repeated
    #[arg(long, value_parser = pair, value_name = "KEY=VALUE")]
    pub env: Vec<(String, String)>,
    /// Environment variable whose value nobody is shown: NAME takes it from the own environment,
    /// NAME=@FILE from a file, without the newline at its end; may be repeated
    #[arg(long, value_name = "NAME|NAME=@FILE")]
    pub secret_env: Vec<SecretSource>,
    /// File that the program reads from standard input, up to 64 KiB; - is that of this command
    #[arg(long, value_name = "FILE")]
    pub stdin: Option<PathBuf>,
    /// Label for queries; may be repeated
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
    /// Fate of an attempt whose worker falls silent [default: keep]
    #[arg(long, value_parser = on_disconnect(), value_name = "CHOICE")]
    pub on_disconnect: Option<i32>,
    /// Program and its arguments, after --
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// When the task may start, when it is too late for it, and how its failures are retried.
#[derive(Debug, Default, Args)]
pub struct TimingArgs {
    /// Longest time that one attempt may run, as in 90s or 2h
    #[arg(long, value_name = "DURATION")]
    pub run_timeout: Option<String>,
    /// Time after its submission from which the task may start, as in 90s or 2h
    #[arg(long, value_name = "DURATION", conflicts_with = "not_before")]
    pub delay: Option<String>,
    /// Time before which the task does not start, as in 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub not_before: Option<String>,
    /// Longest time that the task may be queued before it starts for the first time
    #[arg(long, value_name = "DURATION")]
    pub queue_timeout: Option<String>,
    /// Time by which the task must be over: a duration after the submission, or a time
    #[arg(long, value_name = "DURATION|TIME")]
    pub deadline: Option<String>,
    /// Number of failed attempts after which the task has failed [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub max_attempts: Option<u32>,
    /// Wait after the first failure [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub retry_backoff: Option<String>,
    /// Factor by which each wait is longer than the one before [default: 2]
    #[arg(long, value_name = "FACTOR")]
    pub retry_factor: Option<f64>,
    /// Longest wait between attempts, up to 24h [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub retry_max_backoff: Option<String>,
    /// Largest fraction by which a wait is shortened at random, from 0 to 1 [default: 0]
    #[arg(long, value_name = "FRACTION")]
    pub retry_jitter: Option<f64>,
    /// Exit codes after which the task is not tried again, as in 2 or 64-78; may be repeated
    #[arg(long = "no-retry-exit-code", value_name = "CODE|FIRST-LAST")]
    pub no_retry_exit_codes: Vec<String>,
}

/// Dependencies of a task, and the name by which others wait for it.
#[derive(Debug, Default, Args)]
pub struct GraphArgs {
    /// Task that must complete first: if it ends otherwise, this one is aborted; may be repeated
    #[arg(long, value_name = "TASK_ID|LOCAL_NAME")]
    pub after: Vec<String>,
    /// Task that must be over first, whatever its outcome; may be repeated
    #[arg(long, value_name = "TASK_ID|LOCAL_NAME")]
    pub after_any: Vec<String>,
    /// Name by which tasks of the same submission wait for this one
    #[arg(long, value_name = "NAME")]
    pub local_name: Option<String>,
}

/// Parses `NAME=COUNT`.
fn amount(text: &str) -> Result<(String, u64), &'static str> {
    let (name, count) = pair(text).map_err(|_| "expected NAME=COUNT")?;
    let count = count.parse().map_err(|_| "expected NAME=COUNT, with a whole number")?;
    Ok((name, count))
}

/// Parses a condition on a label: `zone=a`, `zone!=a`, `zone in a,b`, or `zone`.
fn constraint(text: &str) -> Result<v1::Constraint, &'static str> {
    let (label, op, values) = if let Some((label, value)) = text.split_once("!=") {
        (label, v1::ConstraintOperator::NotEquals, vec![value])
    } else if let Some((label, value)) = text.split_once('=') {
        (label, v1::ConstraintOperator::Equals, vec![value])
    } else if let Some((label, values)) = text.split_once(" in ") {
        (label, v1::ConstraintOperator::In, values.split(',').map(str::trim).collect())
    } else {
        (text, v1::ConstraintOperator::Exists, Vec::new())
    };
    let label = label.trim();
    if label.is_empty() || label.contains(char::is_whitespace) {
        return Err("expected LABEL=VALUE, LABEL!=VALUE, 'LABEL in VALUE,…' or LABEL");
    }
    let value = values.into_iter().map(|value| value.trim().to_owned()).collect();
    Ok(v1::Constraint { label: label.to_owned(), op: op.into(), value })
}

fn on_disconnect() -> impl TypedValueParser<Value = i32> {
    PossibleValuesParser::new(["keep", "requeue"])
        .try_map(|name| number_of::<v1::OnDisconnect>(&name).ok_or("no such choice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_on_a_label_is_written_as_it_is_read() {
        use v1::ConstraintOperator as Op;
        for (text, op, values) in [
            ("zone=a", Op::Equals, vec!["a"]),
            ("zone = a", Op::Equals, vec!["a"]),
            ("zone!=a=b", Op::NotEquals, vec!["a=b"]),
            ("zone in a, b", Op::In, vec!["a", "b"]),
            ("zone", Op::Exists, vec![]),
        ] {
            let read = constraint(text).unwrap();
            assert_eq!((read.label.as_str(), read.op()), ("zone", op), "{text}");
            assert_eq!(read.value, values, "{text}");
        }
        for text in ["", "=a", "a b"] {
            assert!(constraint(text).is_err(), "{text}");
        }
    }
}
