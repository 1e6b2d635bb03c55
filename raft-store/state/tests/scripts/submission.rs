//! Reads what users say of tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, Command, Dependency, DependencyKind, ExitCodes, IdempotencyKey, KnownEnds, Link,
    LogIndex, OnDisconnect, QueueName, Resources, RetryPolicy, RetryTask, SubmitGraph, SubmitTasks,
    TaskEnd, TaskGraph, TaskId, TaskSpec, Timing, When,
};

use super::Arguments;
use super::words::{constraint, duration, parsed, secrets, timestamp};

impl Arguments<'_> {
    /// Reads a submission of equal tasks.
    pub(super) fn submit(&mut self) -> Command {
        let count = self.plain.pop().map_or(1, parsed);
        let spec = Arc::new(TaskSpec {
            name: self.text("name"),
            command: vec!["true".to_owned()],
            env: cluster_state::TextMap::default(),
            working_dir: None,
            stdin: None,
            class: Arc::new(Class {
                priority: self.number("priority", 50),
                resources: Resources {
                    cpu_milli: self.number("cpu", 1) * 1000,
                    slots: 1,
                    ..self.resources()
                },
                constraints: self.list("where", constraint),
                worker: self.named.remove("worker").map(parsed),
                queue: self.named.remove("queue").map_or_else(QueueName::default, parsed),
                concurrency_key: self.named.remove("lock").map(parsed),
            }),
            max_attempts: self.number("max_attempts", 3),
            retry_backoff: self.named.remove("backoff").map_or(Duration::from_secs(1), duration),
            run_timeout: self.named.remove("run_timeout").map(duration),
            on_disconnect: match self.named.remove("on_disconnect") {
                None => OnDisconnect::Keep,
                Some("requeue") => OnDisconnect::Requeue,
                Some(other) => panic!("no such choice: {other}"),
            },
            labels: self.labels().into(),
            secret_env: secrets(self.named.remove("secret")),
            timing: self.timing().boxed(),
        });
        let fingerprint = self.number("body", 0);
        let key = self.named.remove("key");
        let idempotency_key = key.map(|key| IdempotencyKey { key: key.into(), fingerprint });
        let links: Vec<Link> = self.list("links", link);
        let is_plain = links.is_empty() && spec.dependencies().is_empty();
        let tasks = vec![spec; count];
        if is_plain {
            return Command::SubmitTasks(SubmitTasks { tasks, idempotency_key });
        }
        let (known_at, ends) = self.known_ends();
        let graph = TaskGraph { links, ends, known_at };
        Command::SubmitGraph(SubmitGraph { tasks, idempotency_key, graph })
    }

    /// Reads the index at which the proposer knew the ends of tasks; now, if the line does not say.
    pub(super) fn known_ends(&mut self) -> (LogIndex, KnownEnds) {
        let known_at = LogIndex(self.number("known", self.past.index.0));
        let known = self.past.finished.iter().rev().filter(|task| task.index <= known_at);
        let ends = known.filter_map(|task| Some((task.id, TaskEnd::of(task.state)?)));
        // The newest record of a task comes first.
        let ends = ends.rev().collect::<BTreeMap<_, _>>();
        (known_at, ends.into_iter().collect())
    }

    /// Reads the tasks that others wait for by their ids.
    fn dependencies(&mut self) -> Box<[Dependency]> {
        let mut dependencies = Vec::new();
        for kind in [DependencyKind::Success, DependencyKind::Any] {
            let tasks: Vec<TaskId> = self.list(kind.field(), parsed);
            dependencies.extend(tasks.into_iter().map(|task| Dependency { task, kind }));
        }
        dependencies.sort_unstable();
        dependencies.into()
    }

    /// Reads the bounds on the life of a task. A time by the clock begins with `@`.
    fn timing(&mut self) -> Timing {
        let when = |text: &str| match text.strip_prefix('@') {
            Some(time) => When::At(timestamp(time)),
            None => When::After(duration(text)),
        };
        let factor = self.number("factor", 2);
        Timing {
            start: self.named.remove("start").map(when),
            queue_timeout: self.named.remove("queue_timeout").map(duration),
            deadline: self.named.remove("deadline").map(when),
            retry: RetryPolicy {
                factor_milli: 1_000 * factor,
                max_backoff: self.named.remove("max_backoff").map(duration),
                jitter_milli: self.number("jitter", 0),
                final_codes: self.list("final", |code| {
                    let (first, last) = code.split_once('-').unwrap_or((code, code));
                    ExitCodes { first: parsed(first), last: parsed(last) }
                }),
            },
            dependencies: self.dependencies(),
        }
    }

    /// Reads an order to retry a task, with its record as it was known at an index; now, if the line does
    /// not say.
    pub(super) fn retry(&mut self) -> Command {
        let id: TaskId = parsed(self.next());
        let (known_at, ends) = self.known_ends();
        let mut records = self.past.finished.iter().rev();
        let record = records.find(|task| task.id == id && task.index <= known_at);
        let task = Arc::clone(record.unwrap_or_else(|| panic!("{id} has not ended by then")));
        Command::RetryTask(RetryTask { task, known_at, ends })
    }
}

/// Reads a link between two positions, as in `1:0`: the first waits until the second has completed, or,
/// with a question mark, is over.
fn link(text: &str) -> Link {
    let (text, kind) = match text.strip_suffix('?') {
        Some(text) => (text, DependencyKind::Any),
        None => (text, DependencyKind::Success),
    };
    let (task, after) = text.split_once(':').unwrap();
    Link { task: parsed(task), after: parsed(after), kind }
}
