//! Reads the words of a line.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use cluster_state::{
    Assignment, AttemptNumber, AttemptOutcome, AttemptRef, Constraint, ConstraintOp, Epoch,
    FinishedAttempt, LossReason, SecretMap, SettingKey, TaskId, Timestamp, WorkerId,
};
use cluster_state::{AttemptReport, Payload, TaskResult};

pub(super) fn parsed<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("unreadable: {text}"))
}

/// Reads the path of a setting.
pub(super) fn setting(path: &str) -> SettingKey {
    SettingKey::at(path).unwrap_or_else(|| panic!("no such setting: {path}"))
}

/// Reads `500ms` or `3s`.
pub(super) fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(parsed(millis)),
        None => Duration::from_secs(parsed(text.strip_suffix('s').unwrap())),
    }
}

pub(super) fn timestamp(text: &str) -> Timestamp {
    Timestamp(0).after(duration(text))
}

/// Reads `w1/e1`.
pub(super) fn registration(text: &str) -> (WorkerId, Epoch) {
    let (worker, epoch) = text.split_once("/e").unwrap();
    (parsed(worker), Epoch(parsed(epoch)))
}

/// Reads `t1#1`.
pub(super) fn attempt(text: &str) -> AttemptRef {
    let (task, number) = text.split_once('#').unwrap();
    AttemptRef { task: parsed(task), attempt: AttemptNumber(parsed(number)) }
}

/// Reads `t1:w1`.
pub(super) fn assignment(text: &str) -> Assignment {
    let (task, worker) = text.split_once(':').unwrap();
    Assignment { task: parsed::<TaskId>(task), worker: parsed(worker) }
}

/// Reads `t1#1:0` with an exit code, or `:signal-9`, `:start-failed`, `:unfit`, `:lost` in its
/// place.
pub(super) fn finished(text: &str) -> FinishedAttempt {
    let (reference, end) = text.split_once(':').unwrap();
    let (end, result) = end.split_once(':').map_or((end, None), |(end, text)| (end, Some(text)));
    let result = result.map(|text| TaskResult::Kept(Payload::from(text.as_bytes())));
    let outcome = match end.strip_prefix("signal-") {
        Some(signal) => AttemptOutcome::Signaled { signal: parsed(signal) },
        None if end == "start-failed" => {
            AttemptOutcome::StartFailed { detail: "no such file".to_owned() }
        }
        None if end == "unfit" => {
            AttemptOutcome::WorkerUnfit { detail: "too many open files".to_owned() }
        }
        None if end == "not-started" => AttemptOutcome::Lost(LossReason::NotStarted),
        None if end == "lost" => AttemptOutcome::Lost(LossReason::WorkerShutdown),
        None => AttemptOutcome::Exited { code: parsed(end) },
    };
    let report = AttemptReport { usage: None, result }.boxed();
    FinishedAttempt { attempt: attempt(reference), outcome, report }
}

/// Reads `zone:a`: the label must have this value.
pub(super) fn constraint(text: &str) -> Constraint {
    let (label, value) = text.split_once(':').unwrap();
    Constraint { label: label.to_owned(), op: ConstraintOp::Equals(value.to_owned()) }
}

/// Reads `zone:a` or `license:2`.
pub(super) fn pair<K: for<'a> From<&'a str>, V: FromStr>(text: &str) -> (K, V) {
    let (key, value) = text.split_once(':').unwrap();
    (key.into(), parsed(value))
}

/// Reads `TOKEN,KEY`: names of secret variables, each of which gets a value.
pub(super) fn secrets(names: Option<&str>) -> SecretMap {
    let names = names.into_iter().flat_map(|names| names.split(','));
    names
        .map(|name| (name.to_owned(), format!("value of {name}")))
        .collect::<BTreeMap<_, _>>()
        .into()
}
