//! The queue: summed up, and explained task by task.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use cluster_state::{Class, State, Task, TaskId, TaskState, TaskStateKind, Timestamp};
use proto::problem::{ErrorKind, Problem};

use super::views::{ShownTask, View};
use super::{Answer, Operations, Reading};
use crate::access::{Action, Caller};
use crate::leader::placement::{Explanation, PendingReason};

/// Classes that are listed if no number is named, and at most.
const CLASSES_DEFAULT: u32 = 20;
const CLASSES_MAX: u32 = 1_000;
/// Tasks before another one that are counted: beyond that the exact number says nothing.
const POSITION_MAX: usize = 1_000;
/// Classes that are looked at before the state is released for its writers.
const PORTION: usize = 1_000;

/// The sum of the queue.
#[derive(Debug, Default)]
pub(crate) struct QueueSummary {
    /// Numbers of live tasks.
    pub(crate) states: BTreeMap<TaskStateKind, u64>,
    /// Numbers of tasks that wait for a worker, by priority.
    pub(crate) priorities: BTreeMap<u8, u64>,
    /// Number of classes of such tasks.
    pub(crate) class_count: usize,
    /// The longest classes, the longest first.
    pub(crate) classes: Vec<ClassSummary>,
    /// The waiting task that was queued first, and when.
    pub(crate) oldest: Option<(TaskId, Timestamp)>,
}

/// Waiting tasks of one class.
#[derive(Debug)]
pub(crate) struct ClassSummary {
    pub(crate) class: Arc<Class>,
    pub(crate) tasks: usize,
    pub(crate) next: Arc<Task>,
    pub(crate) pending_reason: Option<PendingReason>,
}

/// A task, and why it waits if it does.
#[derive(Debug)]
pub(crate) struct ExplainedTask {
    pub(crate) shown: ShownTask,
    /// Present while it waits for a worker.
    pub(crate) explanation: Option<Explanation>,
    /// Number of tasks that wait before it in its queue and are not held back by a concurrency key, likewise.
    pub(crate) position: Option<usize>,
}

impl Operations {
    /// Sums up the queue, for callers who may know of all tasks.
    pub(crate) async fn queue(
        &self,
        limit: Option<u32>,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<QueueSummary>, Problem> {
        by.check_all_tasks(Action::ReadTasks)?;
        let limit = limit.unwrap_or(CLASSES_DEFAULT);
        if limit > CLASSES_MAX {
            let detail = format!("limit {limit} is above {CLASSES_MAX}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let mark = self.reach(reading).await?;
        let _scan = self.shared.scans.begin().await?;
        let reader = self.node().reader();
        let mut summary = reader.with(|state| QueueSummary {
            states: state.task_counts().iter().collect(),
            oldest: state.oldest_waiting().map(|task| (task.id, task.queued_at())),
            ..QueueSummary::default()
        });

        let mut longest = BinaryHeap::new();
        let mut last = None;
        loop {
            let portion = reader.with(|state| portion(state, last.as_ref()));
            let Some((class, _)) = portion.last() else { break };
            last = Some(Arc::clone(class));
            summary.class_count = summary.class_count.saturating_add(portion.len());
            for (class, tasks) in portion {
                let waiting = summary.priorities.entry(class.priority).or_default();
                *waiting = waiting.saturating_add(u64::try_from(tasks).unwrap_or(u64::MAX));
                longest.push(Reverse((tasks, Reverse(class))));
                if longest.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
                    longest.pop();
                }
            }
            tokio::task::yield_now().await;
        }
        for Reverse((tasks, Reverse(class))) in longest.into_sorted_vec() {
            // It may have been emptied meanwhile.
            let now = self.node().clock().now();
            summary.classes.extend(reader.with(|state| class_summary(state, (class, tasks), now)));
        }
        Ok(mark.on(summary))
    }

    /// Explains why a task waits.
    pub(crate) async fn explain(
        &self,
        id: TaskId,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<ExplainedTask>, Problem> {
        let Answer { body: shown, mark } = self.task(id, reading, by).await?;
        let waiting = match &shown.view {
            View::Own(view) => Some(&view.task).filter(|task| task.state == TaskState::Queued),
            View::Leaders(_) => None,
        };
        let explanation =
            waiting.map(|task| self.node().reader().with(|state| Explanation::of(state, task)));
        let position = waiting.map(|task| {
            self.node().reader().with(|state| state.position_in_queue(task, POSITION_MAX))
        });
        Ok(mark.on(ExplainedTask { shown, explanation, position }))
    }
}

fn portion(state: &State, after: Option<&Arc<Class>>) -> Vec<(Arc<Class>, usize)> {
    let shown = |(class, queue): (&Arc<Class>, &cluster_state::ClassQueue)| {
        (Arc::clone(class), queue.len())
    };
    match after {
        None => state.queue().take(PORTION).map(shown).collect(),
        Some(after) => state.queue_after(after).take(PORTION).map(shown).collect(),
    }
}

fn class_summary(
    state: &State,
    (class, tasks): (Arc<Class>, usize),
    now: Timestamp,
) -> Option<ClassSummary> {
    let next = state.class_queue(&class)?.tasks().next()?;
    let next = Arc::clone(state.task(next)?);
    let pending_reason = PendingReason::of(state, &next, now);
    Some(ClassSummary { class, tasks, next, pending_reason })
}
