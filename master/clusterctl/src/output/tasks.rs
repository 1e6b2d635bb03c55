//! Formats lists of tasks.

use std::time::SystemTime;

use proto::v1;

use super::table::{NOTHING, Style, columns, or_nothing, shown};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Formats tasks as rows, with their ages by the clock of this machine.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the times of tasks are of the wall clock")]
pub fn tasks(tasks: &[v1::Task], style: Style) -> String {
    rows(tasks, SystemTime::now(), style)
}

fn rows(tasks: &[v1::Task], now: SystemTime, style: Style) -> String {
    let rows = tasks.iter().map(|task| {
        let last = task.attempts.last();
        [
            task.task_id.clone(),
            shown::<v1::TaskState>(task.state),
            or_nothing(task.name.as_ref()),
            task.priority.to_string(),
            or_nothing(last.map(|attempt| &attempt.worker_id)),
            last.map_or(0, |attempt| attempt.number).to_string(),
            or_nothing(task.exit_code.as_ref()),
            age(&task.submitted_at, now),
            or_nothing(task.pending_reason.as_ref().or(task.reason.as_ref())),
        ]
    });
    let heading =
        ["TASK", "STATE", "NAME", "PRIORITY", "WORKER", "ATTEMPT", "EXIT", "AGE", "REASON"];
    columns(heading, rows.collect(), style)
}

/// Returns the time since then in its largest unit. Where the clocks differ nothing is negative.
fn age(since: &str, now: SystemTime) -> String {
    let Ok(since) = humantime::parse_rfc3339(since) else { return NOTHING.to_owned() };
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / MINUTE),
        7_200..172_800 => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tasks_are_rows() {
        let failed = v1::Task {
            task_id: "t17".to_owned(),
            name: Some("train-7".to_owned()),
            state: v1::TaskState::Failed.into(),
            priority: 50,
            reason: Some("failed as often as max_attempts allows".to_owned()),
            exit_code: Some(3),
            submitted_at: "2025-11-17T10:30:00.000Z".to_owned(),
            attempts: vec![v1::Attempt {
                number: 1,
                worker_id: "worker-1".to_owned(),
                ..v1::Attempt::default()
            }],
            ..v1::Task::default()
        };
        let waiting = v1::Task {
            task_id: "t18".to_owned(),
            state: v1::TaskState::Queued.into(),
            priority: 100,
            pending_reason: Some("no active worker".to_owned()),
            submitted_at: "2025-11-17T10:59:30.000Z".to_owned(),
            ..v1::Task::default()
        };
        let now = humantime::parse_rfc3339("2025-11-17T11:00:00Z").unwrap();
        let expected = "\
TASK  STATE   NAME     PRIORITY  WORKER    ATTEMPT  EXIT  AGE  REASON
t18   queued  -        100       -         0        -     30s  no active worker
t17   failed  train-7  50        worker-1  1        3     30m  failed as often as max_attempts allows";
        assert_eq!(rows(&[waiting, failed], now, Style::Plain), expected);
    }

    #[test]
    fn an_age_has_one_unit() {
        let since = humantime::parse_rfc3339("2025-11-17T10:30:00Z").unwrap();
        let told = |seconds| age("2025-11-17T10:30:00.000Z", since + Duration::from_secs(seconds));
        assert_eq!([0, 119, 120, 7_199].map(told), ["0s", "119s", "2m", "119m"]);
        assert_eq!([7_200, 172_799, 172_800].map(told), ["2h", "47h", "2d"]);
        assert_eq!(age("2025-11-17T10:30:01.000Z", since), "0s");
        assert_eq!(age("", since), "-");
    }
}
