//! Reads what users say of tasks.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, Command, ExitCodes, IdempotencyKey, LogIndex, OnDisconnect, Resources, RetryPolicy,
    RetryTask, SubmitTasks, TaskId, TaskSpec, Timing, When,
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
            class: Arc::new(Class {
                priority: self.number("priority", 50),
                resources: Resources {
                    cpu_milli: self.number("cpu", 1) * 1000,
                    slots: 1,
                    ..self.resources()
                },
                constraints: self.list("where", constraint),
                worker: self.named.remove("worker").map(parsed),
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
        Command::SubmitTasks(SubmitTasks {
            tasks: vec![spec; count],
            idempotency_key: key.map(|key| IdempotencyKey { key: key.into(), fingerprint }),
        })
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
        }
    }

    /// Reads an order to retry a task, with its record as it was known at an index; now, if the line does
    /// not say.
    pub(super) fn retry(&mut self) -> Command {
        let id: TaskId = parsed(self.next());
        let known_at = LogIndex(self.number("known", self.past.index.0));
        let mut records = self.past.finished.iter().rev();
        let record = records.find(|task| task.id == id && task.index <= known_at);
        let task = Arc::clone(record.unwrap_or_else(|| panic!("{id} has not ended by then")));
        Command::RetryTask(RetryTask { task, known_at })
    }
}
