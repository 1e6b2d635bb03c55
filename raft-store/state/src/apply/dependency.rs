//! Applies what the ends of tasks mean for those that wait for them, and checks what these wait for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Apply;
use crate::{
    Cascade, Change, Dependency, DependencyKind, Key, KnownEnds, Link, LogIndex, Record, Rejection,
    Task, TaskEnd, TaskGraph, TaskId, TaskSpec, TaskState,
};

/// Dependencies of the tasks of a submission, by which it is decided what becomes of these.
#[derive(Debug, Default)]
pub(super) struct Prospects {
    /// Tasks that have ended otherwise than those that wait for them need it.
    broken: BTreeMap<TaskId, TaskEnd>,
}

impl Apply<'_> {
    /// Checks what the tasks of a submission wait for.
    pub(super) fn check_graph(
        &self,
        tasks: &[Arc<TaskSpec>],
        graph: &TaskGraph,
    ) -> Result<Prospects, Rejection> {
        let mut prospects = Prospects::default();
        let mut links = graph.links.as_slice();
        let mut total = links.len();
        let mut named = BTreeMap::new();
        for (position, spec) in (0_u32..).zip(tasks) {
            let (own, rest) = links.split_at(links.partition_point(|link| link.task <= position));
            links = rest;
            let dependencies = spec.dependencies();
            total = total.saturating_add(dependencies.len());
            self.check_dependencies(dependencies, own.len(), &mut named)?;
            for dependency in dependencies {
                let broken = self.judge(dependency, &graph.ends, graph.known_at)?;
                prospects.broken.extend(broken.map(|cascade| (cascade.task, cascade.end)));
            }
        }

        let max = self.limits().dependencies_per_submit_max;
        if total > max {
            return Err(Rejection::limit("dependencies in a submission", max));
        }
        let rises =
            |first: &Link, second: &Link| (first.task, first.after) < (second.task, second.after);
        let is_within = |link: &Link| usize::try_from(link.after).is_ok_and(|at| at < tasks.len());
        let is_sound = links.is_empty()
            && graph.links.is_sorted_by(rises)
            && graph.links.iter().all(is_within);
        let has_cycle = || !graph.links.is_empty() && graph.cycle(tasks.len()).is_some();
        // The API has said so with better error messages.
        if !is_sound || has_cycle() {
            return Err(Rejection::invalid("the dependencies of a submission make no sense"));
        }
        Ok(prospects)
    }

    /// Checks what one task waits for. `named` counts the tasks of the submission behind each dependency.
    fn check_dependencies(
        &self,
        own: &[Dependency],
        links: usize,
        named: &mut BTreeMap<TaskId, u32>,
    ) -> Result<(), Rejection> {
        let max = self.limits().dependencies_max;
        if own.len().saturating_add(links) > max {
            return Err(Rejection::limit("dependencies of a task", max));
        }
        if !own.is_sorted_by(|first, second| first.task < second.task) {
            return Err(Rejection::invalid("the dependencies of a task are not in order"));
        }
        let max = self.limits().dependents_max;
        for Dependency { task, .. } in own {
            let count = named.entry(*task).or_default();
            *count = count.saturating_add(1);
            if self.state.dependent_count(*task).saturating_add(*count) > max {
                let max = usize::try_from(max).unwrap_or(usize::MAX);
                return Err(Rejection::limit("tasks that wait for one task", max));
            }
        }
        Ok(())
    }

    /// Returns the dependency as broken if it has ended otherwise than it must. The state does not hold
    /// finished tasks, so what the proposer has read decides, unless a retry may contradict it.
    fn judge(
        &self,
        dependency: &Dependency,
        ends: &KnownEnds,
        known_at: LogIndex,
    ) -> Result<Option<Cascade>, Rejection> {
        let Dependency { task, kind } = *dependency;
        if self.state.task(task).is_some() {
            return Ok(None);
        }
        if task >= self.meta.next_task {
            return Err(Rejection::UnknownDependency { task });
        }
        if let Some(end) = self.state.cascade(task) {
            return Ok((kind == DependencyKind::Success).then_some(Cascade { task, end }));
        }
        let end = ends.get(task).ok_or(Rejection::DependencyEnded { task })?;
        // A completed task is never retried.
        if end == TaskEnd::Completed || kind == DependencyKind::Any {
            return Ok(None);
        }
        // The tasks that this very command has retried are live.
        if known_at < self.state.meta().last_retry {
            return Err(Rejection::RetriedMeanwhile);
        }
        Ok(Some(Cascade { task, end }))
    }

    /// Returns whether a task that is to be retried waits once more.
    pub(super) fn check_retried(
        &self,
        task: &Task,
        ends: &KnownEnds,
        known_at: LogIndex,
    ) -> Result<bool, Rejection> {
        let mut is_blocked = false;
        for dependency in task.dependencies() {
            if self.state.task(dependency.task).is_some() {
                is_blocked = true;
                continue;
            }
            // The tasks that have let it start have completed, and stay so.
            if task.was_released() || dependency.kind == DependencyKind::Any {
                continue;
            }
            if let Some(broken) = self.judge(dependency, ends, known_at)? {
                let detail = format!("{broken}: retry that first");
                return Err(Rejection::NotRetryable { task: task.id, detail: detail.into() });
            }
        }
        let max = self.limits().dependents_max;
        let is_full = |one: &&Dependency| self.state.dependent_count(one.task) >= max;
        if is_blocked
            && let Some(Dependency { task: full, .. }) = task.dependencies().iter().find(is_full)
        {
            let detail = format!("{max} tasks wait for {full} already");
            return Err(Rejection::NotRetryable { task: task.id, detail: detail.into() });
        }
        Ok(is_blocked)
    }

    /// Adds the links of a task to the dependencies of its specification; returns whether it has to wait.
    pub(super) fn link(
        &self,
        spec: &mut Arc<TaskSpec>,
        links: &[Link],
        first: TaskId,
        prospects: &Prospects,
    ) -> bool {
        let waits = |one: &Dependency| {
            let is_broken =
                one.kind == DependencyKind::Success && prospects.broken.contains_key(&one.task);
            is_broken || self.state.task(one.task).is_some()
        };
        let is_blocked = !links.is_empty() || spec.dependencies().iter().any(waits);
        if !links.is_empty() {
            // The ids of the submission are above all others, so the order stays.
            let linked = links.iter().map(|Link { after, kind, .. }| Dependency {
                task: TaskId(first.0.saturating_add(u64::from(*after))),
                kind: *kind,
            });
            let dependencies = spec.dependencies().iter().copied().chain(linked).collect();
            let timing = spec.timing.as_deref().cloned().unwrap_or_default();
            Arc::make_mut(spec).timing = crate::Timing { dependencies, ..timing }.boxed();
        }
        is_blocked
    }

    /// Begins to pass on the ends of tasks for which the submission came too late.
    pub(super) fn begin_cascades(&mut self, prospects: Prospects) {
        for (task, end) in prospects.broken {
            self.begin_cascade(task, end);
        }
    }

    /// Notes that a task has ended. Whatever needs it to complete is aborted, if it has not.
    pub(super) fn note_end(&mut self, task: TaskId, state: TaskState) {
        if let Some(end) = TaskEnd::of(state).filter(|end| *end != TaskEnd::Completed) {
            self.begin_cascade(task, end);
        }
    }

    fn begin_cascade(&mut self, task: TaskId, end: TaskEnd) {
        let is_awaited = self.state.dependency_index().first_to_abort(task).is_some();
        if is_awaited && self.state.cascade(task).is_none() {
            self.state.put_cascade(Cascade { task, end });
            self.cascades.insert(task);
        }
    }

    /// Releases and aborts tasks whose dependencies have ended, up to a bound. Each that is aborted is one
    /// more that has ended, so this is a loop over what is left, however deep the graph is.
    pub(super) fn pass_on_ends(&mut self) {
        for _ in 0..self.limits().passed_on_max {
            if self.has_visited_enough() {
                break;
            }
            if let Some(id) = self.state.dependency_index().first_ready() {
                self.edges = self.edges.saturating_add(self.edges_of(id));
                self.decide(id);
                continue;
            }
            let Some(cascade) = self.state.cascades().next() else { break };
            match self.state.dependency_index().first_to_abort(cascade.task) {
                Some(id) => {
                    self.edges = self.edges.saturating_add(self.edges_of(id));
                    self.abort(id, cascade);
                }
                None => self.end_cascade(cascade.task),
            }
        }
    }

    /// Returns whether this command is to leave what is left to the next ones.
    pub(super) const fn has_visited_enough(&self) -> bool {
        self.edges >= self.limits().edges_per_command_max
    }

    /// Returns the edges that are visited when a task ends, and one for the task itself.
    pub(super) fn edges_of(&self, id: TaskId) -> usize {
        let dependencies = self.state.task(id).map_or(0, |task| task.dependencies().len());
        let dependents = usize::try_from(self.state.dependent_count(id)).unwrap_or(usize::MAX);
        dependents.saturating_add(dependencies).saturating_add(1)
    }

    /// Decides about a task none of whose dependencies is live.
    fn decide(&mut self, id: TaskId) {
        let Some(task) = self.state.task(id).cloned() else { return };
        if let Some(cascade) = self.state.broken_dependency(&task) {
            return self.abort(id, cascade);
        }
        let mut task = Task::clone(&task);
        task.release(self.now);
        self.put_task(task);
    }

    fn abort(&mut self, id: TaskId, cascade: Cascade) {
        let Some(mut task) = self.state.task(id).map(|task| Task::clone(task)) else { return };
        task.break_off(cascade);
        self.end(task, TaskState::Aborted);
        if self.state.dependency_index().first_to_abort(cascade.task).is_none() {
            self.end_cascade(cascade.task);
        }
    }

    /// Records the cascades that a later command goes on with.
    pub(super) fn record_cascades(&mut self) {
        for task in std::mem::take(&mut self.cascades) {
            if let Some(end) = self.state.cascade(task) {
                self.changes.push(Change::Put(Record::Cascade(Cascade { task, end })));
            }
        }
    }

    fn end_cascade(&mut self, task: TaskId) {
        self.state.remove_cascade(task);
        // One that began with this command is on no record.
        if !self.cascades.remove(&task) {
            self.changes.push(Change::Delete(Key::Cascade(task)));
        }
    }
}
