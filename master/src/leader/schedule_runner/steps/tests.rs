//! Tests of the steps of schedules.

use std::collections::VecDeque;
use std::time::Duration;

use cluster_state::{Level, LogIndex, Overlap, RunCounts, TaskSpec};
use cron::ZONE_DATA;
use proto::v1;

use super::*;

const MINUTE: u64 = 60_000;

fn schedule(name: &str, cron: &str, next: Option<u64>) -> Arc<Schedule> {
    let task = v1::TaskSpec { command: vec!["true".to_owned()], ..v1::TaskSpec::default() };
    let plan = SchedulePlan {
        cron: cron.to_owned(),
        zone: "UTC".to_owned(),
        overlap: Overlap::Skip,
        catch_up: Duration::from_secs(60),
        task: Arc::new(TaskSpec::try_from(task).unwrap()),
    };
    Arc::new(Schedule {
        name: name.parse().unwrap(),
        plan,
        is_paused: false,
        created_at: Timestamp(0),
        changed_at: Timestamp(0),
        next: next.map(Timestamp),
        zone_data: "1999z".to_owned(),
        last: None,
        last_task: None,
        waiting: None,
        counts: RunCounts::default(),
        runs: VecDeque::new(),
        index: LogIndex(7),
    })
}

fn times(step: &ScheduleStep) -> (Vec<u64>, Option<u64>) {
    let minutes = |at: &Timestamp| at.0 / MINUTE;
    (step.due.iter().map(minutes).collect(), step.next.as_ref().map(minutes))
}

#[test]
fn all_times_that_have_come_are_due_and_the_next_one_follows() {
    let mut timetables = Timetables::default();
    let due = [schedule("a", "*/10 * * * *", Some(10 * MINUTE))];
    let steps = timetables.steps(&due, Timestamp(35 * MINUTE));
    assert_eq!(times(&steps[0]), (vec![10, 20, 30], Some(40)));
    assert_eq!(steps[0].known_at, LogIndex(7));
    let steps = timetables.steps(&due, Timestamp(10 * MINUTE));
    assert_eq!(times(&steps[0]), (vec![10], Some(20)));
}

#[test]
fn schedules_share_the_times_of_a_command() {
    let mut timetables = Timetables::default();
    let many = |count: usize| {
        (0..count).map(|one| schedule(&format!("s{one}"), "* * * * *", Some(MINUTE)))
    };
    let due = many(4).collect::<Vec<_>>();
    let steps = timetables.steps(&due, Timestamp(10_000 * MINUTE));
    assert!(steps.iter().all(|step| step.due.len() == 250), "{}", steps[0].due.len());
    assert_eq!(steps[3].next, Some(Timestamp(251 * MINUTE)));
    let due = many(2_000).collect::<Vec<_>>();
    let steps = timetables.steps(&due, Timestamp(10_000 * MINUTE));
    assert!(steps.iter().all(|step| step.due.len() == 1));
}

#[test]
fn a_run_that_waits_moves_no_time_and_what_cannot_be_read_runs_no_more() {
    let mut timetables = Timetables::default();
    let waiting = schedule("a", "* * * * *", Some(9 * MINUTE));
    let unreadable = schedule("b", "soon", Some(MINUTE));
    let steps = timetables.steps(&[waiting, unreadable], Timestamp(5 * MINUTE));
    assert_eq!(times(&steps[0]), (vec![], Some(9)));
    assert_eq!(times(&steps[1]), (vec![], None));
}

#[test]
fn newer_data_of_time_zones_move_what_is_ahead_of_now_and_of_the_last_run() {
    let mut timetables = Timetables::default();
    let known = schedule("a", "*/10 * * * *", Some(33 * MINUTE));
    let step = timetables.replan(&known, Timestamp(31 * MINUTE));
    assert_eq!(times(&step), (vec![], Some(40)));
    let mut fired = Schedule::clone(&known);
    fired.last = Some(Timestamp(45 * MINUTE));
    assert_eq!(times(&timetables.replan(&fired, Timestamp(31 * MINUTE))), (vec![], Some(50)));
}

#[test]
fn the_data_of_time_zones_belong_to_the_level() {
    let hint = "another edition needs another level, at which next times are computed anew";
    assert_eq!((Level::NEWEST, ZONE_DATA), (Level(2), "2026f"), "{hint}");
}
