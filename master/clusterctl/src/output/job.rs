//! Formats jobs, which are orders about many tasks.

use proto::names::name_of;
use proto::v1;

use super::table::{Style, columns, fields, or_nothing, shown};

/// Formats jobs as rows.
#[must_use]
pub fn jobs(jobs: &[v1::Job], style: Style) -> String {
    if jobs.is_empty() {
        return "there are none".to_owned();
    }
    let rows = jobs.iter().map(|job| {
        [
            job.job_id.clone(),
            shown::<v1::JobAction>(job.action),
            shown::<v1::JobState>(job.state),
            format!("{} %", job.percent),
            job.done.to_string(),
            job.refused.to_string(),
            job.started_at.clone(),
            job.selection.as_ref().map(selection).unwrap_or_default(),
        ]
    });
    let heading = ["JOB", "ACTION", "STATE", "PASSED", "DONE", "REFUSED", "STARTED", "TASKS"];
    columns(heading, rows.collect(), style)
}

/// Formats everything about one job.
#[must_use]
pub fn job(job: &v1::Job, _: Style) -> String {
    fields(&[
        ("job", job.job_id.clone()),
        ("action", shown::<v1::JobAction>(job.action)),
        ("tasks", job.selection.as_ref().map(selection).unwrap_or_default()),
        ("state", shown::<v1::JobState>(job.state)),
        ("reason", or_nothing(job.reason.as_ref())),
        ("passed", format!("{} %", job.percent)),
        ("result", deeds(job)),
        ("ordered by", job.ordered_by.clone()),
        ("started at", job.started_at.clone()),
        ("finished at", or_nothing(job.finished_at.as_ref())),
    ])
}

/// Says what a job has done so far.
#[must_use]
pub fn deeds(job: &v1::Job) -> String {
    let done = match job.action() {
        v1::JobAction::Cancel => "cancelled",
        v1::JobAction::Retry => "run again",
        v1::JobAction::Unspecified => "done",
    };
    match job.refused {
        0 => format!("{} {done}", job.done),
        refused => format!("{} {done}, {refused} cannot run again", job.done),
    }
}

/// Says which tasks a selection means.
#[must_use]
pub fn selection(selection: &v1::TaskSelection) -> String {
    let v1::TaskSelection { states, labels, worker, name_prefix, priority, all: _ } = selection;
    let states = states.iter().map(|state| name_of::<v1::TaskState>(*state));
    let states = states.collect::<Vec<_>>().join(" or ");
    let mut conditions = Vec::new();
    if !labels.is_empty() {
        conditions.push(format!("label {}", labels.join(" and ")));
    }
    conditions.extend(worker.iter().map(|worker| format!("worker {worker}")));
    conditions.extend(name_prefix.iter().map(|name| format!("name {name}…")));
    conditions.extend(priority.iter().map(|priority| format!("priority {priority}")));
    let subject =
        if states.is_empty() { "all tasks".to_owned() } else { format!("all {states} tasks") };
    if conditions.is_empty() {
        subject
    } else {
        format!("{subject} with {}", conditions.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> v1::Job {
        let selection = v1::TaskSelection {
            states: vec![v1::TaskState::Queued.into(), v1::TaskState::Running.into()],
            labels: vec!["team=x".to_owned(), "gpu".to_owned()],
            priority: Some(9),
            ..v1::TaskSelection::default()
        };
        v1::Job {
            job_id: "j17".to_owned(),
            action: v1::JobAction::Cancel.into(),
            state: v1::JobState::Running.into(),
            selection: Some(selection),
            done: 7,
            percent: 50,
            ordered_by: "user:ada".to_owned(),
            started_at: "2025-11-17T10:30:00.000Z".to_owned(),
            ..v1::Job::default()
        }
    }

    #[test]
    fn jobs_are_rows() {
        assert_eq!(jobs(&[], Style::Plain), "there are none");
        let expected = "\
JOB  ACTION  STATE    PASSED  DONE  REFUSED  STARTED                   TASKS
j17  cancel  running  50 %    7     0        2025-11-17T10:30:00.000Z  all queued or running tasks with label team=x and gpu, priority 9";
        assert_eq!(jobs(&[running()], Style::Plain), expected);
    }

    #[test]
    fn a_job_says_what_it_has_done() {
        assert_eq!(deeds(&running()), "7 cancelled");
        let retry = v1::Job { action: v1::JobAction::Retry.into(), refused: 2, ..running() };
        assert_eq!(deeds(&retry), "7 run again, 2 cannot run again");
        assert!(job(&retry, Style::Plain).contains("result:      7 run again, 2 cannot run again"));
        assert_eq!(selection(&v1::TaskSelection::default()), "all tasks");
    }
}
