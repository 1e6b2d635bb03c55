//! Checks tasks that wait for others against a naive model, and that their ends are passed on in portions.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    AdvanceJob, Applied, CancelTask, Cascade, Change, Command, Dependency, DependencyKind,
    JobAction, JobStep, Limits, Link, Record, Rejection, Reply, RetryTask, StartJob, SubmitGraph,
    TaskEnd, TaskFilter, TaskGraph, TaskId, TaskState, Term,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[path = "graphs/cluster.rs"]
mod cluster;

use cluster::{Cluster, spec};

/// An order, or an event. Tasks are drawn among those that it may be about.
#[derive(Debug, Clone)]
enum Step {
    /// New tasks, each with those that it waits for: earlier ones, and some of the same submission.
    Submit(Vec<Vec<(Index, DependencyKind)>>),
    Finish(Index, i32),
    Cancel(Index),
    Retry(Index),
    /// The master starts anew from its records.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![3 => Just(DependencyKind::Success), 2 => Just(DependencyKind::Any)];
    let dependencies = vec((any::<Index>(), kind), 0..4);
    let code = prop_oneof![3 => Just(0), 2 => Just(1)];
    prop_oneof![
        3 => vec(dependencies, 1..6).prop_map(Step::Submit),
        6 => (any::<Index>(), code).prop_map(|(task, code)| Step::Finish(task, code)),
        1 => any::<Index>().prop_map(Step::Cancel),
        3 => any::<Index>().prop_map(Step::Retry),
        1 => Just(Step::Restart),
    ]
}

/// A task as anybody would explain it.
#[derive(Debug, Clone)]
struct Simple {
    after: Vec<Dependency>,
    state: SimpleState,
    /// It has been let through once.
    released: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SimpleState {
    Blocked,
    Free,
    Over(TaskEnd),
}

#[derive(Debug, Default)]
struct Model(BTreeMap<TaskId, Simple>);

impl Model {
    fn state(&self, id: TaskId) -> SimpleState {
        self.0[&id].state
    }

    fn end(&self, id: TaskId) -> Option<TaskEnd> {
        match self.state(id) {
            SimpleState::Over(end) => Some(end),
            SimpleState::Blocked | SimpleState::Free => None,
        }
    }

    fn is_broken(&self, dependency: &Dependency) -> bool {
        dependency.kind == DependencyKind::Success
            && self.end(dependency.task).is_some_and(|end| end != TaskEnd::Completed)
    }

    fn put(&mut self, id: TaskId, state: SimpleState) {
        self.0.get_mut(&id).unwrap().state = state;
        while let Some((id, state)) = self.next() {
            let task = self.0.get_mut(&id).unwrap();
            task.state = state;
            task.released |= state == SimpleState::Free;
        }
    }

    /// Returns a task that is not blocked any more.
    fn next(&self) -> Option<(TaskId, SimpleState)> {
        let blocked = self.0.iter().filter(|(_, task)| task.state == SimpleState::Blocked);
        let mut moves = blocked.filter_map(|(id, task)| {
            if task.after.iter().any(|one| self.is_broken(one)) {
                return Some((*id, SimpleState::Over(TaskEnd::Aborted)));
            }
            let is_free = task.after.iter().all(|one| self.end(one.task).is_some());
            is_free.then_some((*id, SimpleState::Free))
        });
        moves.next()
    }

    /// Returns what becomes of a task that is retried; none if it is refused.
    fn retried(&self, id: TaskId) -> Option<SimpleState> {
        let task = &self.0[&id];
        if task.state == SimpleState::Over(TaskEnd::Completed) {
            return None;
        }
        if !task.released && task.after.iter().any(|one| self.is_broken(one)) {
            return None;
        }
        let waits = task.after.iter().any(|one| self.end(one.task).is_none());
        Some(if waits { SimpleState::Blocked } else { SimpleState::Free })
    }

    fn in_state(&self, is_meant: impl Fn(SimpleState) -> bool) -> Vec<TaskId> {
        let meant = self.0.iter().filter(|(_, task)| is_meant(task.state));
        meant.map(|(id, _)| *id).collect()
    }
}

/// Submits tasks to both. A position among the earlier tasks is one of those, and any other one of the
/// submission that comes before or, by the turn, after it.
fn submit(cluster: &mut Cluster, model: &mut Model, drawn: &[Vec<(Index, DependencyKind)>]) {
    let first = cluster.state.meta().next_task;
    let known = u32::try_from(model.0.len()).unwrap();
    // Tasks wait for those behind them in every second submission: order is not position.
    let is_turned = first.0.is_multiple_of(2);
    let count = u32::try_from(drawn.len()).unwrap();
    let turned = |place: u32| if is_turned { count - 1 - place } else { place };

    let mut links = Vec::new();
    let mut tasks = vec![None; drawn.len()];
    let mut after_of = BTreeMap::new();
    for (place, dependencies) in (0_u32..).zip(drawn) {
        let (mut named, mut own) = (BTreeMap::new(), BTreeMap::new());
        for (index, kind) in dependencies {
            let choices = usize::try_from(known + place).unwrap();
            if choices == 0 {
                continue;
            }
            let chosen = u32::try_from(index.index(choices)).unwrap();
            match chosen.checked_sub(known) {
                None => named.insert(TaskId(u64::from(chosen) + 1), *kind),
                Some(earlier) => own.insert(TaskId(u64::from(turned(earlier))), *kind),
            };
        }
        let position = turned(place);
        links.extend(own.iter().map(|(after, kind)| Link {
            task: position,
            after: u32::try_from(after.0).unwrap(),
            kind: *kind,
        }));
        let dependency = |(task, kind): (TaskId, DependencyKind)| Dependency { task, kind };
        let named = named.into_iter().map(dependency).collect::<Vec<_>>();
        let own = own.into_iter().map(|(task, kind)| (TaskId(first.0 + task.0), kind));
        after_of.insert(
            TaskId(first.0 + u64::from(position)),
            named.iter().copied().chain(own.map(dependency)).collect::<Vec<_>>(),
        );
        tasks[usize::try_from(position).unwrap()] = Some(spec(named));
    }
    links.sort_unstable();
    let tasks = tasks.into_iter().map(Option::unwrap).collect();
    let graph = TaskGraph { links, ends: cluster.ends(), known_at: cluster.index };
    cluster.done(Command::SubmitGraph(SubmitGraph { tasks, idempotency_key: None, graph }));

    for (id, after) in after_of {
        let (state, released) = (SimpleState::Blocked, false);
        model.0.insert(id, Simple { after, state, released });
    }
    model.put(first, SimpleState::Blocked);
}

fn perform(cluster: &mut Cluster, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Submit(drawn) => submit(cluster, model, &drawn),
        Step::Finish(index, code) => {
            let running = model.in_state(|state| state == SimpleState::Free);
            let Some(id) = running.get(index.index(running.len().max(1))) else { return Ok(()) };
            cluster.finish(&[*id], code);
            let end = if code == 0 { TaskEnd::Completed } else { TaskEnd::Failed };
            model.put(*id, SimpleState::Over(end));
        }
        Step::Cancel(index) => {
            let live = model.in_state(|state| !matches!(state, SimpleState::Over(_)));
            let Some(id) = live.get(index.index(live.len().max(1))) else { return Ok(()) };
            cluster.done(Command::CancelTask(CancelTask { task: *id }));
            if model.state(*id) == SimpleState::Free {
                cluster.finish(&[*id], 0);
            }
            model.put(*id, SimpleState::Over(TaskEnd::Cancelled));
        }
        Step::Retry(index) => {
            let over = model.in_state(|state| matches!(state, SimpleState::Over(_)));
            let Some(id) = over.get(index.index(over.len().max(1))) else { return Ok(()) };
            let task = Arc::clone(&cluster.finished[id]);
            let (known_at, ends) = (cluster.index, cluster.ends());
            let reply = cluster.apply(Command::RetryTask(RetryTask { task, known_at, ends })).reply;
            match model.retried(*id) {
                None => {
                    let is_refusal = matches!(reply, Err(Rejection::NotRetryable { .. }));
                    prop_assert!(is_refusal, "{id} was retried: {reply:?}");
                }
                Some(state) => {
                    prop_assert!(reply.is_ok(), "{id} was not retried: {reply:?}");
                    let task = model.0.get_mut(id).unwrap();
                    task.released |= state == SimpleState::Free;
                    model.put(*id, state);
                }
            }
        }
        Step::Restart => cluster.restart(),
    }
    Ok(())
}

/// Compares each task, and what is said of its end.
fn compare(cluster: &Cluster, model: &Model) -> Result<(), TestCaseError> {
    for (id, simple) in &model.0 {
        let live = cluster.state.task(*id).map(|task| task.state);
        let found = match live {
            Some(TaskState::Blocked) => SimpleState::Blocked,
            Some(_) => SimpleState::Free,
            None => SimpleState::Over(TaskEnd::of(cluster.finished[id].state).unwrap()),
        };
        prop_assert_eq!(found, simple.state, "{} of {:?}", id, model);
        if found == SimpleState::Over(TaskEnd::Aborted) {
            let task = &cluster.finished[id];
            let broken = task.broken().map(|broken| broken.task);
            prop_assert!(simple.after.iter().any(|one| Some(one.task) == broken), "{:?}", task);
            prop_assert!(task.attempts.is_empty() && !simple.released, "{id} has run");
        }
        if found == SimpleState::Blocked {
            let waits = simple.after.iter().filter(|one| model.end(one.task).is_none()).count();
            prop_assert!(waits > 0, "{id} waits for nothing");
            prop_assert_eq!(cluster.state.live_dependencies(*id), u32::try_from(waits).ok());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_graph_goes_as_the_model_says(steps in vec(step(), 1..60)) {
        let (mut cluster, mut model) = (Cluster::new(), Model::default());
        for step in steps {
            perform(&mut cluster, &mut model, step)?;
            compare(&cluster, &model)?;
            // Nothing is placed before it is free, and everything that is free can be placed.
            for id in cluster.assign_all() {
                prop_assert_eq!(model.state(id), SimpleState::Free);
            }
            prop_assert_eq!(cluster.state.check_invariants(), Ok(()));
        }

        // Whatever is left comes to an end once tasks complete.
        for _ in 0..=model.0.len() {
            for id in model.in_state(|state| state == SimpleState::Free) {
                cluster.finish(&[id], 0);
                model.put(id, SimpleState::Over(TaskEnd::Completed));
            }
            cluster.assign_all();
        }
        compare(&cluster, &model)?;
        prop_assert_eq!(cluster.state.live_tasks(), 0);
    }
}

#[test]
fn ten_thousand_dependents_are_released_in_portions() {
    let mut cluster = Cluster::new();
    let links = (1..10_000).map(|task| Link { task, after: 0, kind: DependencyKind::Success });
    cluster.submit(10_000, links.collect());
    cluster.assign_all();
    assert_eq!(cluster.state.dependent_count(TaskId(1)), 9_999);

    let portion = Limits::NEWEST.passed_on_max;
    let released = cluster.finish(&[TaskId(1)], 0);
    assert_eq!(tasks_in(&released), portion + 1);
    // A command in between does its own work only.
    let index = cluster.index;
    cluster.submit(1, Vec::new());
    assert_eq!(cluster.index.0, index.0 + 1);
    assert_eq!(cluster.queued(), portion + 1);

    cluster.restart();
    let ticks = cluster.tick_until_quiet();
    assert_eq!((ticks, cluster.queued()), (10_000 / portion - 1, 10_000));
}

#[test]
fn a_deep_cascade_is_aborted_in_portions_and_survives_a_restart() {
    let mut cluster = Cluster::new();
    let links =
        (1..10_000).map(|task| Link { task, after: task - 1, kind: DependencyKind::Success });
    cluster.submit(10_000, links.collect());
    cluster.assign_all();

    let portion = Limits::NEWEST.passed_on_max;
    let fallen = cluster.finish(&[TaskId(1)], 1);
    assert!(tasks_in(&fallen) <= portion + 1);
    let pending = cluster.state.cascades().collect::<Vec<_>>();
    assert_eq!(pending.len(), 1);

    // Nobody can retry it while others are still to be aborted for it, and whoever comes is one of them.
    let last = pending[0].task;
    let task = Arc::clone(&cluster.finished[&last]);
    let retry = RetryTask { task, known_at: cluster.index, ends: cluster.ends() };
    assert_eq!(cluster.apply(Command::RetryTask(retry)).reply, Err(Rejection::RetriedMeanwhile));
    let late = cluster.submit_after(last);

    cluster.restart();
    assert_eq!(cluster.state.cascades().count(), 1);
    cluster.tick_until_quiet();
    assert_eq!((cluster.state.live_tasks(), cluster.state.cascades().count()), (0, 0));
    let broken = |id: TaskId| cluster.finished[&id].broken();
    let end = TaskEnd::Aborted;
    assert_eq!(broken(TaskId(10_000)), Some(Cascade { task: TaskId(9_999), end }));
    assert_eq!(broken(late), Some(Cascade { task: last, end }));
}

#[test]
fn one_command_visits_a_bounded_number_of_edges() {
    // Twice 200 tasks, each behind the same 500.
    let crossed = || {
        let mut cluster = Cluster::new();
        for _ in 0..2 {
            let behind = |task| {
                (0..500).map(move |after| Link { task, after, kind: DependencyKind::Success })
            };
            cluster.submit(700, (500..700).flat_map(behind).collect());
        }
        cluster
    };
    let mut cluster = crossed();
    cluster.assign_all();
    let fallen = cluster.finish(&[TaskId(1), TaskId(701)], 1);
    assert_eq!(tasks_in(&fallen), 2 + 200);
    assert_eq!((cluster.tick_until_quiet(), cluster.state.live_tasks()), (1, 2 * 499));

    let mut cluster = crossed();
    let (action, filter, by) = (JobAction::Cancel, TaskFilter::default(), String::new());
    let started = cluster.done(Command::StartJob(StartJob { action, filter, by }));
    let Ok(Reply::JobStarted(job)) = started.reply else { panic!("{:?}", started.reply) };
    let mut steps = Vec::new();
    while cluster.state.job(job).unwrap().is_under_way() {
        let (term, step) = (Term(1), JobStep::Cancel);
        let applied = cluster.done(Command::AdvanceJob(AdvanceJob { term, job, step }));
        cluster.tick_until_quiet();
        steps.push(tasks_in(&applied));
    }
    // Each of the 500 has 200 behind it; when the first is gone, these are to be aborted.
    assert_eq!(steps[0], 498);
    assert_eq!(cluster.state.live_tasks(), 0);
    assert_eq!(cluster.state.check_invariants(), Ok(()));
}

#[test]
fn a_task_has_a_bounded_number_of_dependents() {
    let mut cluster = Cluster::new();
    cluster.submit(1, Vec::new());
    let mut submit_behind = |count: usize| {
        let behind = Dependency { task: TaskId(1), kind: DependencyKind::Any };
        let tasks = vec![spec(vec![behind]); count];
        let graph = TaskGraph { known_at: cluster.index, ..TaskGraph::default() };
        cluster
            .apply(Command::SubmitGraph(SubmitGraph { tasks, idempotency_key: None, graph }))
            .reply
    };
    let max = usize::try_from(Limits::NEWEST.dependents_max).unwrap();
    let portion = Limits::NEWEST.tasks_per_submit_max;
    for _ in 1..max / portion {
        submit_behind(portion).unwrap();
    }
    submit_behind(portion - 1).unwrap();
    let refused = submit_behind(2).unwrap_err().to_string();
    assert_eq!(refused, format!("limit reached: at most {max} tasks that wait for one task"));
    submit_behind(1).unwrap();
}

fn tasks_in(applied: &Applied) -> usize {
    let is_task = |change: &&Change| matches!(change, Change::Put(Record::Task(_)));
    applied.changes.iter().filter(is_task).count()
}
