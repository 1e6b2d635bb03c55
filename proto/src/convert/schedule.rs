//! Converts schedules. Expressions and time zones are read elsewhere.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_state::{
    OnDisconnect, Overlap, RunOutcome, Schedule, ScheduleName, SchedulePlan, ScheduledRun,
    TaskSpec, When,
};

use super::faults::Faults;
use super::{Breach, Invalid, id, rfc3339, time, timing};
use crate::names::name_of;
use crate::problem::{ErrorKind, Fault};
use crate::v1;

/// Longest time by which a run may be late, when the schedule does not say.
const CATCH_UP_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Description of a schedule, as it was checked. The expression and the time zone were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchedule {
    /// Name of the schedule.
    pub name: ScheduleName,
    /// Description.
    pub plan: SchedulePlan,
    /// True if nothing is to be started until it is resumed.
    pub is_paused: bool,
}

impl TryFrom<v1::ScheduleSpec> for NewSchedule {
    type Error = Invalid;

    fn try_from(wire: v1::ScheduleSpec) -> Result<Self, Invalid> {
        let overlap = overlap(wire.overlap)?;
        let v1::ScheduleSpec { name, cron, time_zone, catch_up_window, paused, task, .. } = wire;
        let name = id::<ScheduleName>("/name", &name)?;
        if cron.is_empty() {
            return Err(Invalid::malformed("/cron", &Breach::Required));
        }
        let catch_up = catch_up_window.as_deref().map(time::duration).transpose();
        let catch_up =
            catch_up.map_err(|breach| Invalid::malformed("/catch_up_window", &breach))?;
        let catch_up = catch_up.unwrap_or(CATCH_UP_DEFAULT);
        if !(Schedule::CATCH_UP_MIN..=Schedule::CATCH_UP_MAX).contains(&catch_up) {
            return Err(Invalid::malformed("/catch_up_window", &Breach::CatchUpWindow));
        }
        let task = task.ok_or_else(|| Invalid::malformed("/task", &Breach::Required))?;
        check_graph(&task)?;
        let task = Arc::new(TaskSpec::try_from(task).map_err(|invalid| within_task(&invalid))?);
        check_times(&task)?;

        let zone = if time_zone.is_empty() { "UTC".to_owned() } else { time_zone };
        let cron = cron.trim().to_owned();
        let plan = SchedulePlan { cron, zone, overlap, catch_up, task };
        Ok(Self { name, plan, is_paused: paused })
    }
}

fn overlap(wire: i32) -> Result<Overlap, Invalid> {
    match v1::ScheduleOverlap::try_from(wire) {
        Ok(v1::ScheduleOverlap::Unspecified | v1::ScheduleOverlap::Skip) => Ok(Overlap::Skip),
        Ok(v1::ScheduleOverlap::BufferOne) => Ok(Overlap::BufferOne),
        Ok(v1::ScheduleOverlap::Allow) => Ok(Overlap::Allow),
        Err(_) => Err(Invalid::malformed("/overlap", &Breach::Overlap)),
    }
}

/// Points into the body of a schedule.
fn within_task(invalid: &Invalid) -> Invalid {
    let faults = invalid.faults().iter().map(|fault| Fault {
        pointer: format!("/task{}", fault.pointer),
        detail: fault.detail.clone(),
    });
    Invalid::listed(ErrorKind::InvalidTask, faults.collect())
}

/// Refuses what binds a task to others of its submission, or to tasks that there are now.
fn check_graph(task: &v1::TaskSpec) -> Result<(), Invalid> {
    let mut faults = Faults::default();
    for (pointer, is_given) in [
        ("/task/after", !task.after.is_empty()),
        ("/task/after_any", !task.after_any.is_empty()),
        ("/task/local_name", task.local_name.is_some()),
    ] {
        if is_given {
            faults.add(pointer, &Breach::GraphOfSchedule);
        }
    }
    faults.finish(ErrorKind::InvalidTask, ())
}

/// Refuses times of the clock in the description of a task that is submitted again and again.
fn check_times(task: &TaskSpec) -> Result<(), Invalid> {
    let timing = task.timing.as_deref();
    let times = [
        ("/task/not_before", timing.and_then(|timing| timing.start)),
        ("/task/deadline", timing.and_then(|timing| timing.deadline)),
    ];
    let mut faults = Faults::default();
    for (pointer, when) in times {
        if matches!(when, Some(When::At(_))) {
            faults.add(pointer, &Breach::PointInTime);
        }
    }
    faults.finish(ErrorKind::InvalidTask, ())
}

/// A text that names no policy for runs that overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected skip, buffer_one or allow")]
pub struct UnknownOverlap;

impl FromStr for v1::ScheduleOverlap {
    type Err = UnknownOverlap;

    fn from_str(name: &str) -> Result<Self, UnknownOverlap> {
        let all = [Self::Skip, Self::BufferOne, Self::Allow];
        let named = all.into_iter().find(|policy| name_of::<Self>((*policy).into()) == name);
        named.ok_or(UnknownOverlap)
    }
}

impl From<Overlap> for v1::ScheduleOverlap {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Skip => Self::Skip,
            Overlap::BufferOne => Self::BufferOne,
            Overlap::Allow => Self::Allow,
        }
    }
}

/// Converts a schedule without its runs, and without the environment of its task unless that may be
/// shown.
#[must_use]
pub fn schedule(schedule: &Schedule, shows_environment: bool) -> v1::Schedule {
    let SchedulePlan { cron, zone, overlap, catch_up, task } = &schedule.plan;
    let secrets = task.secret_env.names().filter(|_| shows_environment);
    v1::Schedule {
        name: schedule.name.to_string(),
        cron: cron.clone(),
        time_zone: zone.clone(),
        overlap: v1::ScheduleOverlap::from(*overlap).into(),
        catch_up_window: timing::duration(*catch_up),
        paused: schedule.is_paused,
        task: Some(description(task, shows_environment)),
        secret_env: secrets.map(str::to_owned).collect(),
        next_at: schedule.next.map(rfc3339),
        waiting_at: schedule.waiting.map(rfc3339),
        last_at: schedule.last.map(rfc3339),
        last_task_id: schedule.last_task.map(|task| task.to_string()),
        started: schedule.counts.started,
        skipped: schedule.counts.skipped,
        missed: schedule.counts.missed,
        created_at: rfc3339(schedule.created_at),
        changed_at: rfc3339(schedule.changed_at),
        index: schedule.index.0,
        runs: Vec::new(),
    }
}

/// Describes a task as it may be submitted, without its secret variables.
fn description(spec: &TaskSpec, shows_environment: bool) -> v1::TaskSpec {
    let class = &spec.class;
    let on_disconnect = match spec.on_disconnect {
        OnDisconnect::Keep => v1::OnDisconnect::Keep,
        OnDisconnect::Requeue => v1::OnDisconnect::Requeue,
    };
    let mut wire = v1::TaskSpec {
        name: spec.name.clone(),
        command: spec.command.clone(),
        working_dir: spec.working_dir.clone(),
        stdin: spec
            .stdin
            .as_ref()
            .filter(|_| shows_environment)
            .map(|stdin| Bytes::copy_from_slice(stdin.bytes())),
        resources: Some((&class.resources).into()),
        priority: Some(class.priority.into()),
        constraints: class.constraints.iter().map(Into::into).collect(),
        worker_id: class.worker.as_ref().map(ToString::to_string),
        queue: Some(class.queue.to_string()).filter(|_| !class.queue.is_default()),
        concurrency_key: class.concurrency_key.as_ref().map(ToString::to_string),
        max_attempts: Some(spec.max_attempts),
        retry_backoff: Some(timing::duration(spec.retry_backoff)),
        run_timeout: spec.run_timeout.map(timing::duration),
        labels: spec.labels.to_map(),
        on_disconnect: Some(on_disconnect.into()),
        ..v1::TaskSpec::default()
    };
    if shows_environment {
        wire.env = spec.env.to_map();
    }
    if let Some(asked) = &spec.timing {
        timing::describe(&mut wire, asked);
    }
    wire
}

impl From<&ScheduledRun> for v1::ScheduleRun {
    fn from(run: &ScheduledRun) -> Self {
        let mut wire = Self {
            at: rfc3339(run.at),
            decided_at: rfc3339(run.decided_at),
            manual: run.is_manual,
            ..Self::default()
        };
        let outcome = match &run.outcome {
            RunOutcome::Started { task } => {
                wire.task_id = Some(task.to_string());
                v1::ScheduleRunOutcome::Started
            }
            RunOutcome::Waiting => v1::ScheduleRunOutcome::Waiting,
            RunOutcome::Skipped { running } => {
                wire.task_id = Some(running.to_string());
                v1::ScheduleRunOutcome::Skipped
            }
            RunOutcome::Missed { count, until } => {
                wire.missed = Some(*count);
                wire.missed_until = Some(rfc3339(*until));
                v1::ScheduleRunOutcome::Missed
            }
            RunOutcome::Refused { reason } => {
                wire.reason = Some(reason.to_string());
                v1::ScheduleRunOutcome::Refused
            }
        };
        wire.outcome = outcome.into();
        wire
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, RunCounts, TaskId, Timestamp};

    use super::*;

    fn wire(json: serde_json::Value) -> v1::ScheduleSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let read = NewSchedule::try_from(wire(serde_json::json!({
            "name": "nightly", "cron": " 0 2 * * * ", "task": {"command": ["true"]},
        })))
        .unwrap();
        let SchedulePlan { cron, zone, overlap, catch_up, .. } = read.plan;
        assert_eq!((cron.as_str(), zone.as_str()), ("0 2 * * *", "UTC"));
        assert_eq!((overlap, catch_up), (Overlap::Skip, Duration::from_secs(3_600)));
        assert!(!read.is_paused);
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        let place = |json: serde_json::Value| {
            let mut whole = serde_json::json!({
                "name": "a", "cron": "@daily", "task": {"command": ["true"]},
            });
            whole.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
            let refused = NewSchedule::try_from(wire(whole)).unwrap_err();
            refused.faults().iter().map(|fault| fault.pointer.clone()).collect::<Vec<_>>()
        };
        assert_eq!(place(serde_json::json!({"name": "../a"})), ["/name"]);
        assert_eq!(place(serde_json::json!({"cron": ""})), ["/cron"]);
        assert_eq!(place(serde_json::json!({"overlap": "sometimes"})), ["/overlap"]);
        assert_eq!(place(serde_json::json!({"catch_up_window": "9s"})), ["/catch_up_window"]);
        assert_eq!(place(serde_json::json!({"task": null})), ["/task"]);
        let bad = serde_json::json!({"task": {"command": [], "priority": 101}});
        assert_eq!(place(bad), ["/task/command", "/task/priority"]);
        let (start, end) = ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z");
        let timed = serde_json::json!({"command": ["a"], "not_before": start, "deadline": end});
        let places = place(serde_json::json!({"task": timed}));
        assert_eq!(places, ["/task/not_before", "/task/deadline"]);
        let bound = serde_json::json!({
            "command": ["a"], "after": ["t1"], "after_any": ["build"], "local_name": "b",
        });
        let places = place(serde_json::json!({"task": bound}));
        assert_eq!(places, ["/task/after", "/task/after_any", "/task/local_name"]);
    }

    #[test]
    fn the_task_of_a_schedule_is_shown_as_it_may_be_sent_again() {
        let sent = serde_json::json!({
            "name": "nightly", "cron": "0 2 * * *", "time_zone": "Europe/Berlin",
            "overlap": "buffer_one", "catch_up_window": "5m", "paused": true,
            "task": {
                "name": "backup", "command": ["backup"], "env": {"A": "b"},
                "secret_env": {"KEY": "hidden"}, "priority": 7, "labels": {"team": "x"},
                "constraints": [{"label": "zone", "op": "in", "value": ["a", "b"]}],
                "delay": "1m", "deadline": "2h", "retry_factor": 1.5, "no_retry_exit_codes": [2],
                "on_disconnect": "requeue", "run_timeout": "1h",
            },
        });
        let NewSchedule { name, plan, is_paused } = NewSchedule::try_from(wire(sent)).unwrap();
        let known = Schedule {
            name,
            plan,
            is_paused,
            created_at: Timestamp(0),
            changed_at: Timestamp(0),
            next: Some(Timestamp(1_000)),
            zone_data: String::new(),
            last: None,
            last_task: Some(TaskId(3)),
            waiting: None,
            counts: RunCounts::default(),
            runs: std::collections::VecDeque::new(),
            index: LogIndex(9),
        };
        let shown = schedule(&known, true);
        assert_eq!(shown.secret_env, ["KEY"]);
        assert!(!serde_json::to_string(&shown).unwrap().contains("hidden"));
        let mut task = TaskSpec::try_from(shown.task.unwrap()).unwrap();
        task.secret_env = known.plan.task.secret_env.clone();
        assert_eq!(task, *known.plan.task);
        let hidden = schedule(&known, false);
        assert!(hidden.secret_env.is_empty() && hidden.task.unwrap().env.is_empty());
    }
}
