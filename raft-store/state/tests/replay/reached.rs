//! Names of what changes and replies show, so that the test of the proposals can say what they never
//! reach.

use cluster_state::{
    Ahead, Applied, AttemptVerdict, AuditOutcome, Change, FinishVerdict, Health, JobAction, JobEnd,
    Key, Level, Probation, Record, Rejection, Reply, RunOutcome, Schedule, Scheduling, SettingKey,
    StopReason, TaskReason,
};

/// Names beside those of the states of tasks, all of which the proposals must reach.
pub(super) const NAMES: &[&str] = &[
    "accepted",
    "stale",
    "keep",
    "kill",
    "fired",
    "repeated",
    "rejected",
    "placed",
    "ahead",
    "told ahead",
    "not placed",
    "removed",
    "forgotten",
    "expired",
    "lost",
    "cordoned",
    "draining",
    "emptying",
    "departed",
    "told",
    "token",
    "revoked",
    "mass loss",
    "acknowledged",
    "recovered",
    "requeued",
    "requeued in part",
    "unreachable",
    "reported unfit",
    "failed starts",
    "resting",
    "on probation",
    "trying",
    "raised",
    "seeded",
    "set",
    "user token",
    "user token revoked",
    "orphan",
    "orphan dropped",
    "on record",
    "refusal on record",
    "record forgotten",
    "start time",
    "queue timeout",
    "deadline",
    "stopped at the deadline",
    "final exit code",
    "retried",
    "retried meanwhile",
    "broken dependency",
    "dependency ended",
    "job",
    "job ended",
    "many cancelled",
    "many retried",
    "run by hand",
    "run late",
    "run waits",
    "run skipped",
    "run missed",
    "schedule deleted",
    "queue",
    "queue paused",
    "queue used",
    "queue deleted",
];

/// Returns a name of what a change shows.
pub(super) fn change_name(change: &Change) -> Option<&'static str> {
    match change {
        Change::Put(Record::Task(task)) if task.ahead == Some(Ahead::Told) => Some("told ahead"),
        Change::Put(Record::Task(task)) if task.ahead.is_some() => Some("ahead"),
        Change::Put(Record::Task(task)) if task.losses > 0 => Some("lost"),
        Change::Put(Record::Task(task)) => Some(task.state.kind().name()),
        Change::Delete(Key::Worker(_)) => Some("removed"),
        Change::Put(Record::Worker(worker)) if worker.health != Health::default() => {
            health_name(&worker.health)
        }
        Change::Delete(Key::Task(_)) => Some("forgotten"),
        Change::Delete(Key::IdempotencyKey(_)) => Some("expired"),
        Change::Put(Record::Worker(worker)) => match worker.scheduling {
            Scheduling::Open => None,
            Scheduling::Cordoned => Some("cordoned"),
            Scheduling::Draining { .. } => Some("draining"),
            Scheduling::Emptying => Some("emptying"),
        },
        Change::Put(Record::Departed(_)) => Some("departed"),
        Change::Delete(Key::Departed(_)) => Some("told"),
        Change::Put(Record::Token(_)) => Some("token"),
        Change::Delete(Key::Token(_)) => Some("revoked"),
        Change::Put(Record::UserToken(_)) => Some("user token"),
        Change::Delete(Key::UserToken(_)) => Some("user token revoked"),
        Change::Put(Record::MassLoss(raised)) if raised.brakes() => Some("mass loss"),
        Change::Put(Record::MassLoss(_)) => Some("acknowledged"),
        Change::Delete(Key::MassLoss) => Some("recovered"),
        Change::Put(Record::Settings(record)) => {
            let is_seed = record.last_changed().count() == SettingKey::ALL.len();
            Some(if is_seed { "seeded" } else { "set" })
        }
        Change::Put(Record::Meta(meta)) => (meta.level > Level::FIRST).then_some("raised"),
        Change::Put(Record::Orphan(_)) => Some("orphan"),
        Change::Delete(Key::Orphan(_)) => Some("orphan dropped"),
        Change::Put(Record::Audit(record)) => Some(match record.outcome {
            AuditOutcome::Rejected { .. } => "refusal on record",
            AuditOutcome::Begun | AuditOutcome::Done | AuditOutcome::Unknown { .. } => "on record",
        }),
        Change::Delete(Key::Audit(_)) => Some("record forgotten"),
        Change::Put(Record::Job(job)) => Some(match (&job.end, job.action) {
            (Some((_, JobEnd::Stopped { .. })), _) => "job stopped",
            (_, JobAction::Cancel) if job.done > 0 => "many cancelled",
            (_, JobAction::Retry) if job.done > 0 => "many retried",
            (_, JobAction::Retry) if job.refused > 0 => "some not retried",
            (None, _) => "job",
            (Some(_), _) => "job ended",
        }),
        Change::Delete(Key::Job(_)) => None,
        Change::Put(Record::Schedule(schedule)) => run_name(schedule),
        Change::Delete(Key::Schedule(_)) => Some("schedule deleted"),
        Change::Put(Record::Queue(queue)) => Some(match queue.settings.is_paused {
            true => "queue paused",
            false if queue.changed_index < queue.index => "queue used",
            false => "queue",
        }),
        Change::Delete(Key::Queue(_)) => Some("queue deleted"),
        Change::Put(Record::Issuer(_) | Record::Holder(_) | Record::Cascade(_))
        | Change::Delete(Key::Holder(_) | Key::Cascade(_)) => None,
        Change::Put(Record::Leader(_) | Record::IdempotencyKey(_))
        | Change::Delete(Key::Meta | Key::Leader(_) | Key::Settings | Key::Issuer) => None,
    }
}

/// Returns a name of the reason that a change of a task shows.
pub(super) fn reason_name(change: &Change) -> Option<&'static str> {
    let Change::Put(Record::Task(task)) = change else { return None };
    if task.live_attempt().is_some_and(|attempt| attempt.stop == Some(StopReason::Deadline)) {
        return Some("stopped at the deadline");
    }
    match task.reason? {
        TaskReason::StartTime => Some("start time"),
        TaskReason::QueueTimeout => Some("queue timeout"),
        TaskReason::Deadline => Some("deadline"),
        TaskReason::FinalExitCode => Some("final exit code"),
        TaskReason::Dependency => Some("broken dependency"),
        TaskReason::CancelledByUser
        | TaskReason::AttemptsExhausted
        | TaskReason::LossesExhausted
        | TaskReason::RetryBackoff
        | TaskReason::WorkerUnfit
        | TaskReason::WorkerLost => None,
    }
}

/// Returns a name of what became of the last run of a schedule.
fn run_name(schedule: &Schedule) -> Option<&'static str> {
    let run = schedule.runs.back()?;
    Some(match run.outcome {
        RunOutcome::Started { .. } if run.is_manual => "run by hand",
        RunOutcome::Started { .. } if run.at < run.decided_at => "run late",
        RunOutcome::Started { .. } => return None,
        RunOutcome::Waiting => "run waits",
        RunOutcome::Skipped { .. } => "run skipped",
        RunOutcome::Missed { .. } => "run missed",
        RunOutcome::Refused { .. } => "run refused",
    })
}

fn health_name(health: &Health) -> Option<&'static str> {
    let probation = health.suspension.as_ref().map(|suspension| suspension.probation);
    match probation {
        Some(Probation::Resting { .. }) => Some("resting"),
        Some(Probation::Open) => Some("on probation"),
        Some(Probation::Trying { .. }) => Some("trying"),
        None if health.unreachable.is_some() => Some("unreachable"),
        None if health.reported.is_some() => Some("reported unfit"),
        None if !health.failed_starts.is_empty() => Some("failed starts"),
        None => None,
    }
}

/// Returns names of what a reply shows.
pub(super) fn reply_names(applied: &Applied) -> Vec<&'static str> {
    let verdict = |verdict: &FinishVerdict| match verdict {
        FinishVerdict::Accepted => "accepted",
        FinishVerdict::Stale => "stale",
    };
    match &applied.reply {
        Err(Rejection::RetriedMeanwhile) => vec!["retried meanwhile"],
        Err(Rejection::DependencyEnded { .. }) => vec!["dependency ended"],
        Err(_) => vec!["rejected"],
        Ok(Reply::Retried(_)) => vec!["retried"],
        Ok(Reply::Assigned(placed)) => {
            placed.iter().map(|one| if one.is_ok() { "placed" } else { "not placed" }).collect()
        }
        Ok(Reply::Finished(verdicts)) => verdicts.iter().map(verdict).collect(),
        Ok(Reply::Connected(resume)) => resume
            .running
            .iter()
            .map(|(_, verdict)| match verdict {
                AttemptVerdict::Keep => "keep",
                AttemptVerdict::Kill => "kill",
            })
            .chain(resume.finished.iter().map(verdict))
            .collect(),
        Ok(Reply::Ticked { fired: 1.., .. }) => vec!["fired"],
        Ok(Reply::Submitted { repeated: true, .. }) => vec!["repeated"],
        Ok(Reply::Requeued { more: true, .. }) => vec!["requeued in part"],
        Ok(Reply::Requeued { count: 1.., .. }) => vec!["requeued"],
        Ok(
            Reply::Done
            | Reply::Requeued { .. }
            | Reply::Registered(_)
            | Reply::Submitted { .. }
            | Reply::Ticked { .. }
            | Reply::Cancelled(_)
            | Reply::JobStarted(_)
            | Reply::Dropped(_)
            | Reply::Advanced(_),
        ) => Vec::new(),
    }
}
