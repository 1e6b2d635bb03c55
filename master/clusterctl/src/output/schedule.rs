//! Formats schedules.

use proto::names::name_of;
use proto::v1;

use super::table::{NOTHING, Style, columns, fields};

/// Formats schedules as rows.
#[must_use]
pub fn schedules(schedules: &[v1::Schedule], style: Style) -> String {
    let rows = schedules.iter().map(|schedule| {
        [
            schedule.name.clone(),
            schedule.cron.clone(),
            schedule.time_zone.clone(),
            state(schedule).to_owned(),
            or_nothing(schedule.next_at.as_ref()),
            or_nothing(schedule.last_at.as_ref()),
            or_nothing(schedule.last_task_id.as_ref()),
        ]
    });
    let titles = ["SCHEDULE", "CRON", "TIME ZONE", "STATE", "NEXT", "LAST", "LAST TASK"];
    columns(titles, rows.collect(), style)
}

/// Formats one schedule with its latest runs.
#[must_use]
pub fn schedule(schedule: &v1::Schedule, style: Style) -> String {
    let command = schedule.task.as_ref().map(|task| task.command.join(" "));
    let counts = format!(
        "{} started, {} skipped, {} missed",
        schedule.started, schedule.skipped, schedule.missed
    );
    let mut lines = vec![
        ("schedule", schedule.name.clone()),
        ("cron", schedule.cron.clone()),
        ("time zone", schedule.time_zone.clone()),
        ("state", state(schedule).to_owned()),
        ("overlap", name_of::<v1::ScheduleOverlap>(schedule.overlap).into_owned()),
        ("catch-up window", schedule.catch_up_window.clone()),
        ("command", command.unwrap_or_default()),
        ("next", or_nothing(schedule.next_at.as_ref())),
    ];
    if let Some(at) = &schedule.waiting_at {
        lines.push(("waiting", at.clone()));
    }
    lines.push(("runs", counts));
    let text = fields(&lines);
    if schedule.runs.is_empty() {
        return text;
    }
    let rows = schedule.runs.iter().map(|run| {
        [
            run.at.clone(),
            name_of::<v1::ScheduleRunOutcome>(run.outcome).into_owned(),
            if run.manual { "by hand" } else { NOTHING }.to_owned(),
            detail(run),
        ]
    });
    format!("{text}\n\n{}", columns(["RUN", "OUTCOME", "ORDERED", "TASK"], rows.collect(), style))
}

/// Formats the next times of a schedule.
#[must_use]
pub fn next_runs(next: &v1::NextRuns, style: Style) -> String {
    let rows = next.runs.iter().map(|run| [run.local.clone(), run.at.clone()]);
    columns(["LOCAL TIME", "UTC"], rows.collect(), style)
}

const fn state(schedule: &v1::Schedule) -> &'static str {
    if schedule.paused { "paused" } else { "active" }
}

fn detail(run: &v1::ScheduleRun) -> String {
    match (&run.task_id, run.missed, &run.missed_until) {
        (Some(task), ..) => task.clone(),
        (None, Some(1), _) => NOTHING.to_owned(),
        (None, Some(count), Some(until)) => format!("{count} runs until {until}"),
        (None, ..) => or_nothing(run.reason.as_ref()),
    }
}

fn or_nothing(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| NOTHING.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_shown_with_its_runs() {
        let run = |at: &str, outcome: v1::ScheduleRunOutcome| v1::ScheduleRun {
            at: at.to_owned(),
            outcome: outcome.into(),
            ..v1::ScheduleRun::default()
        };
        let missed = v1::ScheduleRun {
            missed: Some(3),
            missed_until: Some("03:00".to_owned()),
            ..run("01:00", v1::ScheduleRunOutcome::Missed)
        };
        let started = v1::ScheduleRun {
            task_id: Some("t7".to_owned()),
            manual: true,
            ..run("04:00", v1::ScheduleRunOutcome::Started)
        };
        let shown = v1::Schedule {
            name: "nightly".to_owned(),
            cron: "0 * * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            overlap: v1::ScheduleOverlap::BufferOne.into(),
            catch_up_window: "1h".to_owned(),
            task: Some(v1::TaskSpec { command: vec!["backup".to_owned()], ..Default::default() }),
            next_at: Some("05:00".to_owned()),
            started: 1,
            missed: 3,
            runs: vec![missed, started],
            ..v1::Schedule::default()
        };
        let expected = "\
schedule:        nightly
cron:            0 * * * *
time zone:       UTC
state:           active
overlap:         buffer_one
catch-up window: 1h
command:         backup
next:            05:00
runs:            1 started, 0 skipped, 3 missed

RUN    OUTCOME  ORDERED  TASK
01:00  missed   -        3 runs until 03:00
04:00  started  by hand  t7";
        assert_eq!(schedule(&shown, Style::Plain), expected);
        let expected = "\
SCHEDULE  CRON       TIME ZONE  STATE   NEXT   LAST  LAST TASK
nightly   0 * * * *  UTC        active  05:00  -     -";
        assert_eq!(schedules(&[shown], Style::Plain), expected);
    }
}
