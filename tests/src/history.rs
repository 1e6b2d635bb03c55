//! Collects the answers that clients got, and checks whether they were true.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::effects::Effects;

/// States that never change again.
pub const TERMINAL: [&str; 4] = ["completed", "failed", "cancelled", "aborted"];

/// Answers that all clients of one cluster got. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct History {
    records: Arc<Mutex<Records>>,
}

#[derive(Debug, Default)]
struct Records {
    /// By idempotency key: the tasks that were named in answers. More than one is a violation.
    accepted: BTreeMap<String, BTreeSet<String>>,
    /// By task: the final state in which it was seen, and the attempt that ended it.
    ended: BTreeMap<String, (String, u64)>,
    /// Numbers of tasks that a recovery has given up.
    given_up: Range<u64>,
    violations: Vec<String>,
}

impl History {
    /// Gives up the tasks of these numbers: they were acknowledged by disks that are lost.
    pub fn give_up(&self, numbers: Range<u64>) {
        self.records().given_up = numbers;
    }

    /// Returns the acknowledged tasks.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.records().accepted.values().flatten().cloned().collect()
    }

    /// A submission under this key was sent.
    pub fn on_try(&self, key: &str) {
        self.records().accepted.entry(key.to_owned()).or_default();
    }

    /// A submission under this key was acknowledged.
    pub fn on_accepted(&self, key: &str, task: &str) {
        self.records().accepted.entry(key.to_owned()).or_default().insert(task.to_owned());
    }

    /// A task was seen in a final state.
    pub fn on_end(&self, task: &Value) {
        let id = text(&task["task_id"]);
        let end = (text(&task["state"]), last_attempt(task));
        let mut records = self.records();
        if let Some(earlier) = records.ended.get(&id).filter(|earlier| **earlier != end).cloned() {
            records.violations.push(format!("{id} had ended as {earlier:?}, and then as {end:?}"));
        }
        records.ended.insert(id, end);
    }

    /// A promise was broken.
    pub fn on_violation(&self, violation: String) {
        self.records().violations.push(violation);
    }

    /// Returns the number of acknowledged submissions.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.records().accepted.values().filter(|tasks| !tasks.is_empty()).count()
    }

    /// Acknowledged tasks that are not among those that have ended.
    pub(crate) fn unfinished(&self, tasks: &[Value]) -> Vec<String> {
        let ended =
            tasks.iter().filter(|task| is_terminal(task)).map(|task| text(&task["task_id"]));
        let ended = ended.collect::<BTreeSet<_>>();
        let records = self.records();
        let is_owed = |id: &&String| !ended.contains(*id) && !records.has_given_up(id);
        records.accepted.values().flatten().filter(is_owed).cloned().collect()
    }

    /// Holds what clients were told and what tasks did against the tasks as they are at the end.
    /// Tasks of this history carry their idempotency key as name.
    #[must_use]
    pub fn violations(&self, tasks: &[Value], effects: &Effects) -> Vec<String> {
        for task in tasks.iter().filter(|task| is_terminal(task)) {
            self.on_end(task);
        }
        let records = self.records();
        let mut found = records.violations.clone();
        found.extend(records.broken_acknowledgments(tasks));
        found.extend(tasks.iter().filter_map(completed_oddly));
        found.extend(records.broken_runs(tasks, effects));
        found
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock()
    }
}

impl Records {
    fn broken_acknowledgments(&self, tasks: &[Value]) -> Vec<String> {
        let mut ids_by_name = BTreeMap::<String, BTreeSet<String>>::new();
        let mut known = BTreeSet::new();
        let mut found = Vec::new();
        for task in tasks {
            let id = text(&task["task_id"]);
            if !known.insert(id.clone()) {
                found.push(format!("{id} is listed twice"));
            }
            if let Some(name) = task["name"].as_str() {
                ids_by_name.entry(name.to_owned()).or_default().insert(id);
            }
        }

        let mut owners = BTreeMap::new();
        for (key, ids) in &self.accepted {
            if ids.len() > 1 {
                found.push(format!("key {key} was acknowledged as {ids:?}"));
            }
            for id in ids {
                if !known.contains(id) && !self.has_given_up(id) {
                    found.push(format!("{id}, acknowledged under {key}, is lost"));
                }
                if let Some(other) = owners.insert(id, key) {
                    found.push(format!("{id} was acknowledged under both {key} and {other}"));
                }
            }
        }
        for (name, ids) in ids_by_name.iter().filter(|(_, ids)| ids.len() > 1) {
            found.push(format!("one submission, {name}, made several tasks: {ids:?}"));
        }
        found
    }

    fn broken_runs(&self, tasks: &[Value], effects: &Effects) -> Vec<String> {
        let counts = effects.counts();
        let twice = counts.iter().filter(|(_, count)| **count > 1);
        let mut found = twice
            .map(|((task, attempt), count)| format!("{task} attempt {attempt} ran {count} times"))
            .collect::<Vec<_>>();

        let last_attempts = tasks
            .iter()
            .map(|task| (text(&task["task_id"]), last_attempt(task)))
            .collect::<BTreeMap<_, _>>();
        for (task, attempt) in counts.keys() {
            match last_attempts.get(task) {
                None if self.has_given_up(task) => {}
                None => found.push(format!("{task} ran, but there is no such task")),
                Some(last) if u64::from(*attempt) > *last => {
                    found.push(format!("{task} attempt {attempt} ran, but only {last} were made"));
                }
                Some(_) => {}
            }
        }
        for task in tasks.iter().filter(|task| task["state"] == "completed" && leaves_effect(task))
        {
            let run = (text(&task["task_id"]), u32::try_from(last_attempt(task)).unwrap_or(0));
            if !counts.contains_key(&run) {
                found.push(format!("{} is completed, but its attempt {} never ran", run.0, run.1));
            }
        }
        found
    }

    fn has_given_up(&self, task: &str) -> bool {
        number(task).is_some_and(|number| self.given_up.contains(&number))
    }
}

/// A completed task has exactly one attempt that completed it, the last.
fn completed_oddly(task: &Value) -> Option<String> {
    if task["state"] != "completed" {
        return None;
    }
    let attempts = task["attempts"].as_array()?;
    let completed = attempts.iter().filter(|attempt| attempt["outcome"] == "completed").count();
    let is_last = attempts.last().is_some_and(|attempt| attempt["outcome"] == "completed");
    (completed != 1 || !is_last).then(|| format!("completed by other than one attempt: {task}"))
}

/// Returns the number of a task's id.
#[must_use]
pub fn number(task: &str) -> Option<u64> {
    task.strip_prefix('t')?.parse().ok()
}

fn leaves_effect(task: &Value) -> bool {
    let command = task["command"].as_array();
    command.and_then(|words| words.last()?.as_str()).is_some_and(|last| last.contains("/effects"))
}

fn last_attempt(task: &Value) -> u64 {
    let attempts = task["attempts"].as_array();
    attempts.and_then(|attempts| attempts.last()?["number"].as_u64()).unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Tells whether the task's state never changes again.
#[must_use]
pub fn is_terminal(task: &Value) -> bool {
    task["state"].as_str().is_some_and(|state| TERMINAL.contains(&state))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(id: &str, name: &str, outcomes: &[&str]) -> Value {
        let numbered = outcomes.iter().zip(1..);
        let attempts =
            numbered.map(|(outcome, number)| json!({"number": number, "outcome": outcome}));
        let attempts = attempts.collect::<Vec<_>>();
        let command = ["/bin/sh", "-c", "echo >> /somewhere/effects"];
        json!({"task_id": id, "name": name, "state": "completed", "attempts": attempts,
               "command": command})
    }

    fn effects(lines: &str) -> (tempfile::TempDir, Effects) {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("effects"), lines).unwrap();
        let effects = Effects::new(dir.path());
        (dir, effects)
    }

    /// Checks a history of one submission, acknowledged as `t1`.
    fn found(tasks: &[Value], lines: &str) -> String {
        let history = History::default();
        history.on_try("a");
        history.on_accepted("a", "t1");
        let (_dir, effects) = effects(lines);
        history.violations(tasks, &effects).join("; ")
    }

    #[test]
    fn a_kept_promise_is_not_complained_about() {
        let tasks = [task("t1", "a", &["lost", "completed"])];
        assert_eq!(found(&tasks, "t1 1 w1\nt1 2 w2\n"), "");
    }

    #[test]
    fn every_broken_promise_is_found() {
        let done = || task("t1", "a", &["completed"]);
        let cases = [
            (vec![], "", "is lost"),
            (vec![done(), task("t2", "a", &["completed"])], "t1 1 w\nt2 1 w\n", "several tasks"),
            (vec![done(), done()], "t1 1 w\n", "listed twice"),
            (vec![done()], "t1 1 w1\nt1 1 w2\n", "ran 2 times"),
            (vec![done()], "t1 1 w\nt1 2 w\n", "only 1 were made"),
            (vec![done()], "t1 1 w\nt9 1 w\n", "no such task"),
            (vec![done()], "", "never ran"),
            (vec![task("t1", "a", &["completed", "completed"])], "t1 2 w\n", "other than one"),
        ];
        for (tasks, lines, complaint) in cases {
            let found = found(&tasks, lines);
            assert!(found.contains(complaint), "'{complaint}' is not in '{found}'");
        }
    }

    #[test]
    fn answers_that_contradict_each_other_are_found() {
        let history = History::default();
        history.on_accepted("a", "t1");
        history.on_accepted("a", "t2");
        history.on_accepted("b", "t2");
        history.on_end(&task("t1", "a", &["completed"]));
        history.on_end(&task("t1", "a", &["lost", "completed"]));
        let (_dir, effects) = effects("");
        let found = history.violations(&[], &effects).join("; ");
        for complaint in ["key a was acknowledged as", "under both", "t1 had ended as"] {
            assert!(found.contains(complaint), "'{complaint}' is not in '{found}'");
        }
    }
}
