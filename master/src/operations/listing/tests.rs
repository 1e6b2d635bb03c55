//! No page skips a task or shows it twice, wherever the scans stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{Class, LogIndex, Resources, TaskSpec, TaskState, Timestamp};

use super::*;
use crate::task_query::QueryTexts;

fn query(texts: QueryTexts<'_>) -> TaskQuery {
    texts.try_into().unwrap()
}

fn task(id: u64, state: TaskState) -> Arc<Task> {
    let class = Class {
        priority: 50,
        resources: Resources::default(),
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    let spec = TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: cluster_state::TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 1,
        retry_backoff: Duration::ZERO,
        run_timeout: None,
        on_disconnect: cluster_state::OnDisconnect::Keep,
        labels: BTreeMap::from([("parity".to_owned(), (id % 2).to_string())]).into(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    };
    Arc::new(Task {
        id: TaskId(id),
        spec: Arc::new(spec),
        state,
        reason: None,
        submitted_at: Timestamp(id),
        finished_at: None,
        failures: 0,
        losses: 0,
        attempts: Vec::new(),
        index: LogIndex(id),
        course: None,
        ahead: None,
    })
}

fn scan(ids: &[u64], state: TaskState, reached: Option<u64>) -> Scan {
    let tasks = ids.iter().map(|id| task(*id, state)).collect();
    Scan { tasks, reached: reached.map(TaskId) }
}

fn ids(slice: &Slice) -> Vec<u64> {
    slice.tasks.iter().map(|task| task.id.0).collect()
}

#[test]
fn both_sources_come_in_one_order() {
    let live = scan(&[9, 6, 1], TaskState::Queued, None);
    let history = scan(&[8, 7, 2], TaskState::Completed, None);
    let slice = merge(live, history, 10);
    assert_eq!(ids(&slice), [9, 8, 7, 6, 2, 1]);
    assert_eq!(slice.next, None);
}

#[test]
fn a_task_that_ended_between_the_scans_is_shown_once_and_ended() {
    let live = scan(&[3, 2], TaskState::Running, None);
    let history = scan(&[3, 1], TaskState::Completed, None);
    let slice = merge(live, history, 10);
    assert_eq!(ids(&slice), [3, 2, 1]);
    assert_eq!(slice.tasks[0].state, TaskState::Completed);
}

#[test]
fn nothing_is_shown_below_where_either_scan_stopped() {
    let live = scan(&[9, 1], TaskState::Queued, None);
    let history = scan(&[8, 5], TaskState::Completed, Some(5));
    let slice = merge(live, history, 10);
    assert_eq!(ids(&slice), [9, 8, 5]);
    assert_eq!(slice.next, Some(TaskId(5)));
}

#[test]
fn a_full_page_goes_on_after_its_last_task() {
    let live = scan(&[9, 7], TaskState::Queued, None);
    let history = scan(&[8, 6], TaskState::Completed, None);
    let slice = merge(live, history, 3);
    assert_eq!(ids(&slice), [9, 8, 7]);
    assert_eq!(slice.next, Some(TaskId(7)));
}

#[test]
fn a_scan_without_a_match_still_moves_on() {
    let query = query(QueryTexts { state: Some("failed"), ..QueryTexts::default() });
    let records = (1..=1_000).rev().map(|id| task(id, TaskState::Completed)).collect();
    let slice = merge(Scan::default(), query.scan_history(records, false), query.limit);
    assert_eq!(ids(&slice), [0; 0]);
    assert_eq!(slice.next, Some(TaskId(1)));
}

#[test]
fn a_query_matches_by_label_with_or_without_a_value() {
    let odd = query(QueryTexts { label: Some("parity=1"), ..QueryTexts::default() });
    assert!(odd.matches(&task(1, TaskState::Queued)));
    assert!(!odd.matches(&task(2, TaskState::Queued)));
    let labeled = query(QueryTexts { label: Some("parity"), ..QueryTexts::default() });
    assert!(labeled.matches(&task(2, TaskState::Queued)));
}

proptest::proptest! {
    #[test]
    fn paging_shows_every_task_once(
        finished in proptest::collection::vec(proptest::bool::ANY, 0..60),
        limit in 1_usize..7,
        live_step in 1_usize..5,
        history_step in 1_usize..5,
    ) {
        let all = finished
            .iter()
            .enumerate()
            .map(|(position, finished)| {
                let id = u64::try_from(position).unwrap() + 1;
                task(id, if *finished { TaskState::Completed } else { TaskState::Queued })
            })
            .rev()
            .collect::<Vec<_>>();
        let source = |cursor: Option<TaskId>, is_live: bool, step: usize| {
            let below = all.iter().filter(|task| cursor.is_none_or(|cursor| task.id < cursor));
            let found = below
                .filter(|task| (task.state == TaskState::Queued) == is_live)
                .take(step)
                .cloned()
                .collect::<Vec<_>>();
            let reached = found.last().map(|task| task.id).filter(|_| found.len() == step);
            Scan { tasks: found, reached }
        };

        let mut shown = Vec::new();
        let mut cursor = None;
        loop {
            let slice =
                merge(source(cursor, true, live_step), source(cursor, false, history_step), limit);
            shown.extend(slice.tasks);
            let Some(next) = slice.next else { break };
            proptest::prop_assert!(cursor.is_none_or(|cursor| next < cursor));
            cursor = Some(next);
        }
        proptest::prop_assert_eq!(shown, all);
    }
}
