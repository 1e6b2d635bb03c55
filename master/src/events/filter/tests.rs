//! Tests of subscriptions.

use std::sync::Arc;

use cluster_state::{
    Change, Job, JobAction, JobId, Key, MasterId, Overlap, Record, RunCounts, Schedule,
    SchedulePlan, Task, TaskFilter, TaskState, Term, TextMap, Timestamp,
};

use super::*;
use crate::events::job_status::JobStatus;
use crate::events::schedule_status::KnownSchedules;
use crate::events::task_news::tests::task;

fn subscription(text: &str) -> Subscription {
    Subscription::parse(text).unwrap()
}

/// Returns the types of a leader's event, a task's with these labels, and usage, as far as they are
/// selected.
fn selected(text: &str, visible: Visible, labels: &[(&str, &str)]) -> Vec<&'static str> {
    let filter = subscription(text).filter(visible);
    let leader = Event::Leader { leader_id: MasterId(2), term: Term(7), timestamp: Timestamp(0) };
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let task = with_labels(task(17, TaskState::Queued), labels.collect());
    let change = Change::Put(Record::Task(Arc::new(task)));
    let news = TaskNews::of_change(&change, None, Timestamp(0)).unwrap();

    let takes_leader = filter.reads_events() && filter.takes_event(&leader);
    let takes_task = filter.reads_tasks() && filter.takes_task(&news);
    let taken =
        [(takes_leader, "leader"), (takes_task, "task"), (filter.takes_usage(), "telemetry")];
    taken.into_iter().filter_map(|(is_taken, name)| is_taken.then_some(name)).collect()
}

fn with_labels(mut task: Task, labels: BTreeMap<String, String>) -> Task {
    Arc::make_mut(&mut task.spec).labels = TextMap::from(labels);
    task
}

#[test]
fn a_client_says_what_it_wants_or_gets_everything() {
    for (text, expected) in [
        ("{}", vec!["leader", "task", "telemetry"]),
        (r#"{"subscribe": ["cluster"]}"#, vec!["leader"]),
        (r#"{"subscribe": ["workers", "tasks"]}"#, vec!["task"]),
        (r#"{"subscribe": []}"#, vec![]),
        (r#"{"types": ["leader", "telemetry"]}"#, vec!["leader", "telemetry"]),
        (r#"{"subscribe": ["cluster"], "types": ["member"]}"#, vec![]),
        // Whoever names tasks does not want to hear of workers, unless that is said.
        (r#"{"tasks": ["t17"]}"#, vec!["task"]),
        (r#"{"subscribe": ["tasks", "cluster"], "tasks": ["t16"]}"#, vec!["leader"]),
        (r#"{"tasks": ["t16", "t17"], "labels": {"team": "x"}}"#, vec!["task"]),
        (r#"{"labels": {"team": "y"}}"#, vec![]),
        (r#"{"labels": {"team": "x", "zone": "a"}}"#, vec![]),
    ] {
        assert_eq!(selected(text, Visible::All, &[("team", "x")]), expected, "{text}");
    }
}

/// Returns the end of a schedule whose tasks have the label `team=x`, and an order about those tasks.
fn of_team() -> [Event; 2] {
    let labels = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
    let schedule = Schedule {
        name: "nightly".parse().unwrap(),
        plan: SchedulePlan {
            cron: "@daily".to_owned(),
            zone: "UTC".to_owned(),
            overlap: Overlap::Skip,
            catch_up: std::time::Duration::from_secs(60),
            task: with_labels(task(17, TaskState::Queued), labels).spec,
        },
        is_paused: false,
        created_at: Timestamp(0),
        changed_at: Timestamp(0),
        next: None,
        zone_data: String::new(),
        last: None,
        last_task: None,
        waiting: None,
        counts: RunCounts::default(),
        runs: std::collections::VecDeque::new(),
        index: LogIndex(1),
    };
    let deleted = Change::Delete(Key::Schedule(schedule.name.clone()));
    let mut known = KnownSchedules::of([Arc::new(schedule)].iter());
    let schedule = known.status(&deleted, Timestamp(0)).unwrap();

    let scope = Some(Scope { key: "team".to_owned(), value: "x".to_owned() });
    let job = Job {
        id: JobId(7),
        action: JobAction::Cancel,
        filter: TaskFilter { scope, ..TaskFilter::default() },
        by: "user:ada".to_owned(),
        from: TaskId(1),
        to: TaskId(9),
        passed: 0,
        done: 0,
        refused: 0,
        started_at: Timestamp(0),
        end: None,
        index: LogIndex(7),
    };
    [Event::ScheduleStatus(schedule), Event::JobStatus(JobStatus::of(&job, Timestamp(0)))]
}

#[test]
fn nobody_sees_schedules_and_orders_beyond_a_scope() {
    let taken = |text: &str, visible: Visible| {
        let filter = subscription(text).filter(visible);
        of_team().map(|event| filter.reads_events() && filter.takes_event(&event))
    };
    let scope =
        |value: &str| Visible::Within(Scope { key: "team".to_owned(), value: value.to_owned() });
    assert_eq!(taken("{}", Visible::All), [true, true]);
    assert_eq!(taken(r#"{"subscribe": ["schedules"]}"#, Visible::All), [true, false]);
    assert_eq!(taken(r#"{"types": ["job_status"]}"#, Visible::All), [false, true]);
    assert_eq!(taken("{}", scope("x")), [true, true]);
    assert_eq!(taken("{}", scope("y")), [false, false]);
    assert_eq!(taken("{}", Visible::None), [false, false]);
}

#[test]
fn nobody_sees_events_of_tasks_beyond_a_scope() {
    let scope =
        |value: &str| Visible::Within(Scope { key: "team".to_owned(), value: value.to_owned() });
    let of_task = r#"{"tasks": ["t17"]}"#;
    assert_eq!(selected(of_task, scope("x"), &[("team", "x")]), ["task"]);
    assert_eq!(selected(of_task, scope("y"), &[("team", "x")]), [""; 0]);
    assert_eq!(selected(of_task, scope("x"), &[]), [""; 0]);
    assert_eq!(selected("{}", scope("y"), &[("team", "x")]), ["leader", "telemetry"]);
    assert_eq!(selected("{}", Visible::None, &[]), ["leader", "telemetry"]);
}

#[test]
fn a_place_is_an_index_of_a_cluster() {
    let wanted = subscription(r#"{"from_index": 7, "cluster_id": "c1"}"#);
    assert_eq!((wanted.from_index, wanted.cluster_id.as_deref()), (Some(LogIndex(7)), Some("c1")));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let many = (1..=TASKS_MAX + 1).map(|id| format!("\"t{id}\"")).collect::<Vec<_>>().join(",");
    let many = format!(r#"{{"tasks": [{many}]}}"#);
    for (text, fault) in [
        (r#"{"subscribe": ["weather"]}"#, "unknown variant `weather`"),
        (r#"{"types": ["storm"]}"#, "unknown variant `storm`"),
        (r#"{"tasks": ["17"]}"#, "'17' is not a task id"),
        (r#"{"from": 7}"#, "unknown field `from`"),
        ("workers", "expected value"),
        (r#"{"subscribe": ["workers"], "tasks": ["t1"]}"#, "tasks or labels are named"),
        (r#"{"subscribe": ["workers"], "types": ["leader"]}"#, "a type is named"),
        (many.as_str(), "more than 1000 tasks are named"),
    ] {
        let told = Subscription::parse(text).unwrap_err();
        assert!(told.starts_with(fault), "{told}");
    }
}
