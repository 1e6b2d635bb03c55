//! Converts attempts: their names, their outcomes, and their display.

use cluster_state::{
    Attempt, AttemptNumber, AttemptOutcome, AttemptRef, FinishedAttempt, LossReason, StopReason,
};

use super::detail::clip;
use super::{Breach, Invalid, id, report, rfc3339};
use crate::v1;
use crate::v1::finished_attempt::Outcome;

/// Upper bound of a result's bytes in a message besides its text, for cutting batches.
const RESULT_BYTES: usize = 64;

impl From<AttemptRef> for v1::AttemptRef {
    fn from(attempt: AttemptRef) -> Self {
        Self { task_id: attempt.task.to_string(), attempt: attempt.attempt.0 }
    }
}

impl TryFrom<v1::AttemptRef> for AttemptRef {
    type Error = Invalid;

    fn try_from(wire: v1::AttemptRef) -> Result<Self, Invalid> {
        if wire.attempt == 0 {
            let breach = Breach::OutOfRange { min: 1, max: u64::from(u32::MAX) };
            return Err(Invalid::malformed("/attempt", &breach));
        }
        Ok(Self { task: id("/task_id", &wire.task_id)?, attempt: AttemptNumber(wire.attempt) })
    }
}

/// Converts a list of attempts; one bad name spoils it.
pub fn attempt_refs(wire: Vec<v1::AttemptRef>) -> Result<Vec<AttemptRef>, Invalid> {
    wire.into_iter().map(AttemptRef::try_from).collect()
}

impl TryFrom<v1::FinishedAttempt> for FinishedAttempt {
    type Error = Invalid;

    fn try_from(wire: v1::FinishedAttempt) -> Result<Self, Invalid> {
        let missing = |pointer: &str| Invalid::malformed(pointer, &Breach::Required);
        let attempt = wire.attempt.ok_or_else(|| missing("/attempt"))?.try_into()?;
        let outcome = match wire.outcome.ok_or_else(|| missing("/outcome"))? {
            Outcome::ExitCode(code) => AttemptOutcome::Exited { code },
            Outcome::Signal(signal) => AttemptOutcome::Signaled { signal },
            Outcome::StartError(detail) => AttemptOutcome::StartFailed { detail: clip(detail) },
            Outcome::Unfit(detail) => AttemptOutcome::WorkerUnfit { detail: clip(detail) },
            Outcome::Lost(loss) => AttemptOutcome::Lost(loss_reason(loss)),
        };
        Ok(Self { attempt, outcome, report: report::read(wire.usage, wire.file) })
    }
}

/// Converts a list of results; one unreadable result spoils it.
pub fn finished_attempts(wire: Vec<v1::FinishedAttempt>) -> Result<Vec<FinishedAttempt>, Invalid> {
    wire.into_iter().map(FinishedAttempt::try_from).collect()
}

/// Returns an upper bound of a result's bytes in a message.
#[must_use]
pub fn result_bytes(ended: &FinishedAttempt) -> usize {
    let text = match &ended.outcome {
        AttemptOutcome::StartFailed { detail } | AttemptOutcome::WorkerUnfit { detail } => {
            detail.len()
        }
        AttemptOutcome::Exited { .. }
        | AttemptOutcome::Signaled { .. }
        | AttemptOutcome::Lost(_) => 0,
    };
    RESULT_BYTES.saturating_add(text).saturating_add(report::bytes(ended.report.as_deref()))
}

/// Converts a reason of loss; an unknown kind is a loss, too.
fn loss_reason(wire: i32) -> LossReason {
    match v1::AttemptLoss::try_from(wire) {
        Ok(v1::AttemptLoss::LeaseExpired) => LossReason::LeaseExpired,
        Ok(v1::AttemptLoss::Disconnected) => LossReason::WorkerDisconnected,
        Ok(v1::AttemptLoss::NotStarted) => LossReason::NotStarted,
        Ok(v1::AttemptLoss::Unknown | v1::AttemptLoss::Unspecified) | Err(_) => {
            LossReason::UnknownToWorker
        }
    }
}

/// A loss that only the leader can find: no worker reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker does not report that {0}")]
pub struct NotReportable(LossReason);

fn reportable_loss(reason: LossReason) -> Result<v1::AttemptLoss, NotReportable> {
    match reason {
        LossReason::LeaseExpired => Ok(v1::AttemptLoss::LeaseExpired),
        LossReason::WorkerDisconnected => Ok(v1::AttemptLoss::Disconnected),
        LossReason::UnknownToWorker => Ok(v1::AttemptLoss::Unknown),
        LossReason::NotStarted => Ok(v1::AttemptLoss::NotStarted),
        LossReason::WorkerRestarted
        | LossReason::WorkerUnregistered
        | LossReason::WorkerShutdown
        | LossReason::WorkerDrained
        | LossReason::WorkerUnreachable => Err(NotReportable(reason)),
    }
}

impl TryFrom<FinishedAttempt> for v1::FinishedAttempt {
    type Error = NotReportable;

    fn try_from(finished: FinishedAttempt) -> Result<Self, NotReportable> {
        let outcome = match finished.outcome {
            AttemptOutcome::Exited { code } => Outcome::ExitCode(code),
            AttemptOutcome::Signaled { signal } => Outcome::Signal(signal),
            AttemptOutcome::StartFailed { detail } => Outcome::StartError(detail),
            AttemptOutcome::WorkerUnfit { detail } => Outcome::Unfit(detail),
            AttemptOutcome::Lost(reason) => Outcome::Lost(reportable_loss(reason)?.into()),
        };
        let (usage, file) = report::write(finished.report.as_deref());
        Ok(Self { attempt: Some(finished.attempt.into()), outcome: Some(outcome), usage, file })
    }
}

impl From<&Attempt> for v1::Attempt {
    fn from(attempt: &Attempt) -> Self {
        let outcome = attempt.outcome.as_ref();
        let mut wire = Self {
            number: attempt.number.0,
            worker_id: attempt.worker.to_string(),
            started_at: attempt.started_at.map(rfc3339),
            finished_at: attempt.finished_at.map(rfc3339),
            exit_code: outcome.and_then(AttemptOutcome::exit_code),
            outcome: outcome.map(|outcome| v1::AttemptOutcome::from(outcome.kind()).into()),
            reason: attempt_reason(attempt.stop, outcome),
            ..Self::default()
        };
        if let Some(usage) = &attempt.usage {
            report::show_usage(&mut wire, usage);
        }
        wire
    }
}

/// Returns the detail of an attempt that its exit code and the kind of its outcome do not tell.
#[must_use]
pub fn attempt_reason(
    stop: Option<StopReason>,
    outcome: Option<&AttemptOutcome>,
) -> Option<String> {
    match stop {
        Some(StopReason::Cancelled) => return Some("cancelled by user".to_owned()),
        Some(StopReason::RunTimeout) => return Some("ran longer than run_timeout".to_owned()),
        Some(StopReason::Deadline) => {
            return Some("stopped at the deadline of the task".to_owned());
        }
        // The outcome tells whether it was lost to the drain.
        Some(StopReason::Drained) | None => {}
    }
    match outcome? {
        AttemptOutcome::Exited { .. } => None,
        other @ (AttemptOutcome::Signaled { .. }
        | AttemptOutcome::StartFailed { .. }
        | AttemptOutcome::WorkerUnfit { .. }
        | AttemptOutcome::Lost(_)) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{AttemptReport, AttemptUsage, Payload, TaskId, TaskResult};

    use super::*;
    use crate::convert::detail::DETAIL_BYTES_MAX;

    const ATTEMPT: AttemptRef = AttemptRef { task: TaskId(7), attempt: AttemptNumber(2) };

    /// Returns what a worker may tell beside an outcome.
    fn reports() -> [AttemptReport; 4] {
        let usage = AttemptUsage {
            cpu_micros: u64::MAX,
            memory_peak_bytes: Some(u64::MAX),
            out_of_memory: true,
        };
        [
            TaskResult::Kept(Payload::from([0, 255].as_slice())),
            TaskResult::Kept(Payload::from([7; Payload::BYTES_MAX].as_slice())),
            TaskResult::TooLarge { bytes: u64::MAX },
            TaskResult::Unreadable { detail: "it is no regular file".to_owned() },
        ]
        .map(|result| AttemptReport { usage: Some(usage), result: Some(result) })
    }

    fn reported(report: AttemptReport) -> FinishedAttempt {
        let outcome = AttemptOutcome::Signaled { signal: -1 };
        FinishedAttempt { attempt: ATTEMPT, outcome, report: report.boxed() }
    }

    #[test]
    fn a_result_that_is_larger_than_a_worker_may_send_is_not_kept() {
        let content = vec![7; Payload::BYTES_MAX + 1].into();
        let wire = v1::FinishedAttempt {
            attempt: Some(ATTEMPT.into()),
            outcome: Some(Outcome::ExitCode(0)),
            file: Some(v1::finished_attempt::File::Content(content)),
            usage: None,
        };
        let read = FinishedAttempt::try_from(wire).unwrap();
        assert_eq!(read.report.unwrap().result, Some(TaskResult::TooLarge { bytes: 65_537 }));
    }

    #[test]
    fn memory_that_was_used_up_is_told_beside_the_signal() {
        let usage =
            AttemptUsage { cpu_micros: 1_500_000, memory_peak_bytes: Some(9), out_of_memory: true };
        let mut wire =
            v1::Attempt { reason: Some("ended by signal 9".to_owned()), ..v1::Attempt::default() };
        report::show_usage(&mut wire, &usage);
        let told = "out-of-memory: its processes reached their limit (ended by signal 9)";
        assert_eq!(wire.reason.as_deref(), Some(told));
        assert_eq!((wire.cpu_seconds, wire.memory_peak_bytes), (Some(1.5), Some(9)));
    }

    #[test]
    fn an_attempt_reads_back_from_its_name() {
        let wire = v1::AttemptRef::from(ATTEMPT);
        assert_eq!((wire.task_id.as_str(), wire.attempt), ("t7", 2));
        assert_eq!(AttemptRef::try_from(wire), Ok(ATTEMPT));
    }

    #[test]
    fn attempts_count_from_one() {
        let wire = v1::AttemptRef { task_id: "t7".to_owned(), attempt: 0 };
        let invalid = AttemptRef::try_from(wire).unwrap_err();
        assert_eq!(invalid.faults()[0].pointer, "/attempt");
    }

    #[test]
    fn a_result_reads_back_as_reported() {
        let outcomes = [
            AttemptOutcome::Exited { code: -1 },
            AttemptOutcome::Signaled { signal: 9 },
            AttemptOutcome::StartFailed { detail: "no such file".to_owned() },
            AttemptOutcome::WorkerUnfit { detail: "disk-full".to_owned() },
            AttemptOutcome::Lost(LossReason::LeaseExpired),
            AttemptOutcome::Lost(LossReason::WorkerDisconnected),
            AttemptOutcome::Lost(LossReason::UnknownToWorker),
            AttemptOutcome::Lost(LossReason::NotStarted),
        ];
        for outcome in outcomes {
            let finished = FinishedAttempt::new(ATTEMPT, outcome);
            let wire = v1::FinishedAttempt::try_from(finished.clone()).unwrap();
            assert_eq!(FinishedAttempt::try_from(wire), Ok(finished));
        }
        for report in reports() {
            let finished = reported(report);
            let wire = v1::FinishedAttempt::try_from(finished.clone()).unwrap();
            assert_eq!(FinishedAttempt::try_from(wire), Ok(finished));
        }
        let lost = AttemptOutcome::Lost(LossReason::WorkerRestarted);
        let lost = FinishedAttempt::new(ATTEMPT, lost);
        assert!(v1::FinishedAttempt::try_from(lost).is_err());
    }

    #[test]
    fn a_result_takes_no_more_than_is_reckoned_with() {
        use prost::Message;

        use crate::limits::ATTEMPT_REF_BYTES_MAX;

        let attempt = AttemptRef { task: TaskId(u64::MAX), attempt: AttemptNumber(u32::MAX) };
        let named = v1::RegisterWorkerRequest {
            running: vec![attempt.into()],
            ..v1::RegisterWorkerRequest::default()
        };
        assert!(named.encoded_len() <= ATTEMPT_REF_BYTES_MAX, "{}", named.encoded_len());
        let outcomes = [
            AttemptOutcome::Exited { code: -1 },
            AttemptOutcome::Signaled { signal: -1 },
            AttemptOutcome::StartFailed { detail: "x".repeat(DETAIL_BYTES_MAX) },
            AttemptOutcome::Lost(LossReason::UnknownToWorker),
        ];
        let plain = outcomes.map(|outcome| FinishedAttempt::new(attempt, outcome));
        let told = reports().map(|report| FinishedAttempt { attempt, ..reported(report) });
        for ended in plain.into_iter().chain(told) {
            let reckoned = result_bytes(&ended);
            let result = ended.try_into().unwrap();
            let report = v1::ReportTaskCompletionRequest {
                finished: vec![result],
                ..v1::ReportTaskCompletionRequest::default()
            };
            assert!(report.encoded_len() <= reckoned, "{} of {reckoned}", report.encoded_len());
        }
    }

    #[test]
    fn a_loss_of_a_later_version_is_a_loss() {
        let wire = v1::FinishedAttempt {
            attempt: Some(ATTEMPT.into()),
            outcome: Some(Outcome::Lost(77)),
            ..v1::FinishedAttempt::default()
        };
        let read = FinishedAttempt::try_from(wire).unwrap();
        assert_eq!(read.outcome, AttemptOutcome::Lost(LossReason::UnknownToWorker));
    }
}
