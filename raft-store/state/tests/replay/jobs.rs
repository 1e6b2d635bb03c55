//! Random orders about many tasks, and steps of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    AdvanceJob, Command, Job, JobAction, JobId, JobStep, KnownEnds, LabelSelector, LogIndex,
    RetryBatch, StartJob, State, Task, TaskEnd, TaskFilter, TaskStateKind,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::aim::{Aim, Past};
use super::tasks::unknown_task;
use super::values::{term, worker};

/// Draws an order about many tasks, or a step of one.
pub(super) fn jobs() -> impl Strategy<Value = Command> {
    let action = prop_oneof![Just(JobAction::Cancel), Just(JobAction::Retry)];
    let start = (action, filter()).prop_map(|(action, filter)| {
        Command::StartJob(StartJob { action, filter, by: "user:ada".to_owned() })
    });
    let step = prop_oneof![
        1 => Just(JobStep::Cancel),
        1 => (1..3_usize, 0..100_u64, 0..9_u64).prop_map(|(count, known_at, passed)| {
            let tasks = std::iter::repeat_with(|| Arc::new(unknown_task())).take(count).collect();
            let known_at = LogIndex(known_at);
            JobStep::Retry(RetryBatch { tasks, known_at, ends: KnownEnds::default(), passed })
        }),
    ];
    let advance = (term(), 0..60_u64, step).prop_map(|(term, job, step)| {
        Command::AdvanceJob(AdvanceJob { term, job: JobId(job), step })
    });
    prop_oneof![start, advance]
}

fn filter() -> impl Strategy<Value = TaskFilter> {
    let states = prop::sample::select(TaskStateKind::ALL.to_vec());
    let states = prop_oneof![3 => Just(Vec::new()), 1 => vec(states, 1..3)];
    let labels = vec("[ab]".prop_map(|key| LabelSelector::of(&key)), 0..2);
    let labels = prop_oneof![8 => Just(Vec::new()), 1 => labels];
    let rest = (option::weighted(0.1, worker()), option::weighted(0.2, 0..=2_u8));
    (states, labels, rest).prop_map(|(states, labels, (worker, priority))| TaskFilter {
        states,
        labels,
        worker,
        priority,
        ..TaskFilter::default()
    })
}

/// Fits a step to a job that is under way.
pub(super) fn aim_step(state: &State, command: &mut AdvanceJob) {
    let AdvanceJob { term, job, step } = command;
    *term = state.meta().term;
    let takes = |known: &&Arc<Job>| match step {
        JobStep::Cancel => known.action == JobAction::Cancel,
        JobStep::Retry(_) => known.action == JobAction::Retry,
    };
    let fitting = state.jobs_under_way().filter(takes);
    let Some(known) = fitting.min_by_key(|known| known.id.0.abs_diff(job.0)) else { return };
    *job = known.id;
    if let JobStep::Retry(batch) = step {
        batch.passed = known.passed.saturating_add(batch.passed).min(known.total());
    }
}

/// Replaces the records of a step by such as the leader may have read.
pub(super) fn aim_step_at_past(past: &Past, aim: Aim, command: &mut AdvanceJob) {
    let JobStep::Retry(RetryBatch { tasks, known_at, ends, .. }) = &mut command.step else {
        return;
    };
    let drawn = usize::try_from(known_at.0).unwrap_or(0);
    for (task, at) in tasks.iter_mut().zip(drawn..) {
        let Some(picked) = past.finished.get(at % past.finished.len().max(1)) else { return };
        let newest = past.finished.iter().rev().find(|other| other.id == picked.id);
        let newest = newest.filter(|_| aim == Aim::True).unwrap_or(picked);
        *task = Arc::<Task>::clone(newest);
    }
    let last = tasks.iter().map(|task| task.index).max().unwrap_or_default();
    *known_at = if aim == Aim::True { past.index } else { last };
    let known = past.finished.iter().filter(|task| task.index <= *known_at);
    let known = known.filter_map(|task| Some((task.id, TaskEnd::of(task.state)?)));
    *ends = known.collect::<BTreeMap<_, _>>().into_iter().collect();
}
