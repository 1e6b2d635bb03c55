//! Converts what tasks wait for: tasks of the same submission by their local names, others by their ids.

use std::collections::BTreeMap;

use cluster_state::{Dependency, DependencyKind, Limits, Link, Task, TaskGraph, TaskId};

use super::Breach;
use super::faults::Faults;
use crate::v1;

/// Longest local name.
const NAME_BYTES_MAX: usize = 64;
/// Tasks of a circle that are named in an error: enough to see it.
const CYCLE_SHOWN_MAX: usize = 8;

/// Names in a submission, and the tasks that they stand for.
#[derive(Debug, Default)]
pub(super) struct LocalNames(BTreeMap<String, u32>);

/// Dependencies of one task.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// Those on tasks with an id.
    pub(super) named: Box<[Dependency]>,
    /// Those on tasks of the same submission.
    pub(super) links: Vec<Link>,
}

impl LocalNames {
    /// Adds the name of the task at `position`, if it has one.
    pub(super) fn add(&mut self, position: u32, wire: &v1::TaskSpec, faults: &mut Faults) {
        let Some(name) = &wire.local_name else { return };
        if !is_local_name(name) {
            faults.add("/local_name", &Breach::LocalName);
        } else if let Some(other) = self.0.get(name) {
            faults.add("/local_name", &Breach::SecondLocalName { other: *other });
        } else {
            self.0.insert(name.clone(), position);
        }
    }

    /// Reads what the task at `position` waits for. Faults are collected, and the rest is read in spite
    /// of them.
    pub(super) fn read(
        &self,
        position: u32,
        wire: &v1::TaskSpec,
        faults: &mut Faults,
    ) -> Dependencies {
        let (count, max) = (
            wire.after.len().saturating_add(wire.after_any.len()),
            Limits::NEWEST.dependencies_max,
        );
        if count > max {
            let field = if wire.after.is_empty() { "/after_any" } else { "/after" };
            faults.add(field, &Breach::TooManyDependencies { count, max });
            return Dependencies::default();
        }

        let (mut named, mut links) = (BTreeMap::new(), BTreeMap::new());
        let lists =
            [(DependencyKind::Success, &wire.after), (DependencyKind::Any, &wire.after_any)];
        for (kind, texts) in lists {
            for (place, text) in texts.iter().enumerate() {
                let known = text.parse::<TaskId>().ok();
                let local = self.0.get(text).copied().filter(|_| known.is_none());
                let breach = match (known, local) {
                    (Some(id), _) => named.insert(id, kind).map(|_| Breach::SecondDependency),
                    (None, Some(own)) if own == position => Some(Breach::OwnDependency),
                    (None, Some(other)) => {
                        links.insert(other, kind).map(|_| Breach::SecondDependency)
                    }
                    (None, None) => Some(Breach::UnknownLocalName),
                };
                if let Some(breach) = breach {
                    faults.add(&format!("/{}/{place}", kind.field()), &breach);
                }
            }
        }
        let link = |(after, kind)| Link { task: position, after, kind };
        Dependencies {
            named: named.into_iter().map(|(task, kind)| Dependency { task, kind }).collect(),
            links: links.into_iter().map(link).collect(),
        }
    }

    /// Returns the name of a task.
    fn of(&self, position: u32) -> Option<&str> {
        let mut names = self.0.iter();
        names.find(|(_, named)| **named == position).map(|(name, _)| name.as_str())
    }
}

/// Names a circle of tasks that wait for each other, and its place, if there is one.
pub(super) fn cycle(links: &[Link], tasks: usize, names: &LocalNames) -> Option<(String, Breach)> {
    let graph = TaskGraph { links: links.to_vec(), ..TaskGraph::default() };
    let way = graph.cycle(tasks)?;
    let (first, second) = (*way.first()?, *way.get(1).or(way.first())?);
    let link = links.iter().find(|link| link.task == first && link.after == second)?;
    let shown = way.iter().take(CYCLE_SHOWN_MAX).filter_map(|position| names.of(*position));
    let mut shown = shown.collect::<Vec<_>>();
    let left_out = format!("{} others", way.len().saturating_sub(CYCLE_SHOWN_MAX));
    if way.len() > CYCLE_SHOWN_MAX {
        shown.push(&left_out);
    }
    shown.extend(names.of(first));
    let breach = Breach::Cycle { way: shown.join(" after ") };
    Some((format!("/{first}/{}", link.kind.field()), breach))
}

/// Adds to what is shown of a task what it waits for.
pub(super) fn show(wire: &mut v1::Task, task: &Task) {
    for Dependency { task, kind } in task.dependencies() {
        match kind {
            DependencyKind::Success => wire.after.push(task.to_string()),
            DependencyKind::Any => wire.after_any.push(task.to_string()),
        }
    }
}

/// Returns whether a text may be a local name: ids and local names are given in one list.
fn is_local_name(name: &str) -> bool {
    let is_like_id = name.strip_prefix('t').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed) && !is_like_id
}

#[cfg(test)]
mod tests {
    use super::super::{TaskBatch, task_batch};
    use super::*;

    fn batch(json: serde_json::Value) -> Result<TaskBatch, Vec<String>> {
        let mut tasks = json;
        for task in tasks.as_array_mut().unwrap() {
            task["command"] = serde_json::json!(["true"]);
        }
        let wires = serde_json::from_value(tasks).unwrap();
        task_batch(wires)
            .map_err(|invalid| invalid.faults().iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_graph_is_read_by_local_names_and_ids() {
        let read = batch(serde_json::json!([
            {"local_name": "pack", "after": ["test", "t17"], "after_any": ["t9", "lint"]},
            {"local_name": "build"},
            {"local_name": "test", "after": ["build"]},
            {"local_name": "lint", "after_any": ["build"]},
        ]))
        .unwrap();
        let (success, any) = (DependencyKind::Success, DependencyKind::Any);
        let link = |task, after, kind| Link { task, after, kind };
        let expected = [link(0, 2, success), link(0, 3, any), link(2, 1, success), link(3, 1, any)];
        assert_eq!(read.links, expected);
        let named = |id, kind| Dependency { task: TaskId(id), kind };
        assert_eq!(read.tasks[0].dependencies(), [named(9, any), named(17, success)]);
        assert!(read.tasks[1].timing.is_none());
    }

    #[test]
    fn what_makes_no_graph_is_told_with_its_place() {
        let told = batch(serde_json::json!([
            {"local_name": "a", "after": ["a", "b", "t0"], "after_any": ["b"]},
            {"local_name": "a"},
            {"local_name": "t5"},
            {"local_name": "b", "after": ["t5", "t5", "nobody"]},
            {"local_name": "c d"},
        ]));
        let expected = [
            "/1/local_name: is the name of task 0 of the submission, too",
            "/2/local_name: is not a local name: 1 to 64 letters, digits, '-', '_' and '.' are \
             allowed, but nothing like the id t17",
            "/4/local_name: is not a local name: 1 to 64 letters, digits, '-', '_' and '.' are \
             allowed, but nothing like the id t17",
            "/0/after/0: is the task itself",
            "/0/after/2: is neither the id of a task, as in t17, nor a local name of this submission",
            "/0/after_any/0: is named twice",
            "/3/after/1: is named twice",
            "/3/after/2: is neither the id of a task, as in t17, nor a local name of this submission",
        ];
        assert_eq!(told.unwrap_err(), expected);
    }

    #[test]
    fn a_circle_is_spelled_out() {
        let told = batch(serde_json::json!([
            {"local_name": "start"},
            {"local_name": "a", "after": ["start"], "after_any": ["c"]},
            {"local_name": "b", "after": ["a"]},
            {"local_name": "c", "after": ["b"]},
        ]));
        let expected = ["/1/after_any: makes a circle: a after c after b after a"];
        assert_eq!(told.unwrap_err(), expected);

        let name = |position: usize| format!("n{position}");
        let long = (0..30).map(|position| {
            serde_json::json!({"local_name": name(position), "after": [name((position + 1) % 30)]})
        });
        let told = batch(long.collect()).unwrap_err();
        let shown = (0..8).map(name).collect::<Vec<_>>().join(" after ");
        let expected = format!("/0/after: makes a circle: {shown} after 22 others after n0");
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_task_waits_for_a_bounded_number() {
        let ids = |count: u64| (1..=count).map(|id| format!("t{id}")).collect::<Vec<_>>();
        assert!(batch(serde_json::json!([{"after": ids(1_000)}])).is_ok());
        let told = batch(serde_json::json!([{"after": ids(1_000), "after_any": ["t2000"]}]));
        let expected =
            "/0/after: names 1001 tasks with those of the other list: at most 1000 are allowed";
        assert_eq!(told.unwrap_err(), [expected]);
    }
}
