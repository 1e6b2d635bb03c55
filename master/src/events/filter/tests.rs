//! Tests of subscriptions.

use std::sync::Arc;

use cluster_state::{Change, MasterId, Record, Task, TaskState, Term, TextMap, Timestamp};

use super::*;
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
