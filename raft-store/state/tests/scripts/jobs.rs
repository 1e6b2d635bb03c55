//! Reads orders about many tasks, and steps of them.

use std::sync::Arc;

use cluster_state::{
    AdvanceJob, Command, JobAction, JobStep, LabelSelector, LogIndex, RetryBatch, StartJob, Task,
    TaskFilter, TaskId,
};

use super::Arguments;
use super::words::parsed;

impl Arguments<'_> {
    /// Reads `job ACTION` with the conditions of its filter; a label is written as in `team:blue`.
    pub(super) fn start_job(&mut self) -> Command {
        let action = match self.next() {
            "cancel" => JobAction::Cancel,
            "retry" => JobAction::Retry,
            other => panic!("no such action: {other}"),
        };
        let filter = TaskFilter {
            states: self.list("states", parsed),
            labels: self.list("label", |label| LabelSelector::of(&label.replace(':', "="))),
            worker: self.named.remove("worker").map(parsed),
            name_prefix: self.text("name"),
            priority: self.named.remove("priority").map(parsed),
            scope: None,
        };
        Command::StartJob(StartJob { action, filter, by: "user:ada".to_owned() })
    }

    /// Reads `step JOB`; that of a retry has the tasks, and what is passed afterwards.
    pub(super) fn advance_job(&mut self) -> Command {
        let (term, job) = (self.term(), parsed(self.next()));
        let (known_at, ends) = self.known_ends();
        let Some(passed) = self.named.remove("passed").map(parsed) else {
            return Command::AdvanceJob(AdvanceJob { term, job, step: JobStep::Cancel });
        };
        let ids = self.list::<TaskId, Vec<_>>("tasks", parsed);
        let tasks = ids.into_iter().map(|id| self.record(id, known_at)).collect();
        let step = JobStep::Retry(RetryBatch { tasks, known_at, ends, passed });
        Command::AdvanceJob(AdvanceJob { term, job, step })
    }

    fn record(&self, id: TaskId, known_at: LogIndex) -> Arc<Task> {
        let mut records = self.past.finished.iter().rev();
        let record = records.find(|task| task.id == id && task.index <= known_at);
        Arc::clone(record.unwrap_or_else(|| panic!("{id} has not ended by then")))
    }
}
