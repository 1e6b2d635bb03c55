//! Carries out orders about many tasks, step by step, so that no other write waits for long.
//!
//! The progress of each is on record, so a new leader goes on where the one before has stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AdvanceJob, Command, Job, JobAction, JobStep, KnownEnds, Limits, Rejection, RetryBatch, Task,
    TaskEnd, TaskId, Term,
};
use proto::limits::{BATCH_BYTES, ByteBudget};
use raft_store::{Node, ProposeError, StorageError};
use tokio::time::Instant;

use super::duty::{Duty, Wait};

/// Pause between two looks. The log moves all the time, and orders about many tasks are few.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Pause after which a step is tried again that a full disk is in the way of.
const ROOM_PAUSE: Duration = Duration::from_secs(5);
/// Pause after which a step is tried again that was refused because the ends of tasks are being passed on.
const CASCADE_PAUSE: Duration = Duration::from_millis(50);
/// Tasks that one step has run again. Each is sent with its record, and its end is read and removed on every
/// master: that takes longer than to cancel one.
const RETRIED_MAX: usize = 250;
/// Reads of finished tasks without one that is meant, before what was passed is put on record.
const READS_MAX: usize = 32;

/// Works through the jobs that are under way.
#[derive(Debug)]
pub(super) struct JobRunner {
    node: Node,
    term: Term,
}

/// A step could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// It is not in the log, or may not be.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// Finished tasks cannot be read.
    #[error("cannot read finished tasks")]
    Read(#[from] StorageError),
}

impl JobRunner {
    /// Returns the runner of one term.
    #[must_use]
    pub(super) const fn new(node: Node, term: Term) -> Self {
        Self { node, term }
    }

    /// Takes the next step of a job. Returns false if it is to be taken again later.
    async fn step(&self, job: &Job) -> Result<bool, JobError> {
        let step = match job.action {
            JobAction::Cancel => JobStep::Cancel,
            JobAction::Retry => JobStep::Retry(self.find(job).await?),
        };
        let command = Command::AdvanceJob(AdvanceJob { term: self.term, job: job.id, step });
        match self.node.propose_as_leader(self.term, &command).await {
            Ok(_) => Ok(true),
            // The records may be out of date: they are read again.
            Err(ProposeError::Rejected { rejection: Rejection::RetriedMeanwhile, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the next finished tasks that a job is about, in the order from the newest to the oldest.
    async fn find(&self, job: &Job) -> Result<RetryBatch, StorageError> {
        let reader = self.node.reader();
        let most = Limits::NEWEST.job_tasks_max;
        let mut below = job.next_downwards();
        // Before the records are read: they may be newer than this, and not older.
        let known_at = reader.applied().index;
        for _ in 0..READS_MAX {
            let found = reader.finished_tasks_below(Some(below), most).await?;
            below = match found.tasks.last() {
                Some(oldest) if !found.is_complete => oldest.id,
                Some(_) | None => job.from,
            };
            let meant = found.tasks.into_iter().filter(|task| job.covers(task));
            let (tasks, is_cut) = batch(meant);
            if is_cut {
                below = tasks.last().map_or(below, |last| last.id);
            }
            if !tasks.is_empty() || below <= job.from {
                let (ends, passed) = (self.ends(&tasks).await?, passed(job, below));
                return Ok(RetryBatch { tasks, known_at, ends, passed });
            }
        }
        let (tasks, ends) = (Vec::new(), KnownEnds::default());
        Ok(RetryBatch { tasks, known_at, ends, passed: passed(job, below) })
    }

    /// Reads how those tasks have ended that must have completed before these run again.
    async fn ends(&self, tasks: &[Arc<Task>]) -> Result<KnownEnds, StorageError> {
        let needed = tasks.iter().flat_map(|task| task.needed()).collect::<BTreeSet<_>>();
        let mut ends = Vec::new();
        for id in needed {
            let task = self.node.reader().task(id).await?;
            ends.extend(task.and_then(|task| Some((id, TaskEnd::of(task.state)?))));
        }
        Ok(ends.into_iter().collect())
    }
}

/// Returns the first of these tasks, as many as one step has run again, and whether there are more. Their results
/// would only make the step large: they lose them.
fn batch(meant: impl Iterator<Item = Arc<Task>>) -> (Vec<Arc<Task>>, bool) {
    let mut budget = ByteBudget::new(BATCH_BYTES);
    let mut tasks = Vec::new();
    for task in meant {
        let bytes = task.bytes().saturating_add(task.spec.class.bytes());
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if tasks.len() == RETRIED_MAX || !budget.admits(bytes) {
            return (tasks, true);
        }
        tasks.push(task.without_result());
    }
    (tasks, false)
}

/// Returns the number of ids that a retry has passed when it goes on below that id.
const fn passed(job: &Job, below: TaskId) -> u64 {
    let passed = job.to.0.saturating_sub(below.0);
    if passed < job.total() { passed } else { job.total() }
}

impl Duty for JobRunner {
    const NAME: &'static str = "jobs";
    type Error = JobError;

    async fn pass(&mut self) -> Result<Wait, JobError> {
        loop {
            let under_way = self
                .node
                .reader()
                .with(|state| state.jobs_under_way().map(Arc::clone).collect::<Vec<_>>());
            if under_way.is_empty() {
                return Ok(Wait::for_change_after(Instant::now() + LOOK_PAUSE));
            }
            // Each has its turn: a long one does not keep back the others.
            let mut is_refused = false;
            for job in under_way {
                match self.step(&job).await {
                    Ok(is_taken) => is_refused |= !is_taken,
                    Err(JobError::Propose(
                        error @ (ProposeError::NoRoom { .. } | ProposeError::DiskFull { .. }),
                    )) => {
                        tracing::warn!(job = %job.id, %error, "a job waits for room");
                        return Ok(Wait::for_time(Instant::now() + ROOM_PAUSE));
                    }
                    Err(error) => return Err(error),
                }
            }
            // Each refusal is an entry of the log, too.
            if is_refused {
                return Ok(Wait::for_change_after(Instant::now() + CASCADE_PAUSE));
            }
        }
    }
}

#[cfg(test)]
mod tests;
