//! Applies orders about many tasks, and the steps in which the leader carries them out.

use std::sync::Arc;

use super::Apply;
use crate::{
    AdvanceJob, Change, Job, JobAction, JobEnd, JobId, JobStep, Key, Record, Rejection, Reply,
    RetryBatch, StartJob, TaskId,
};

/// Times that a task is tried again which was refused for another one of the same step.
const ROUNDS_MAX: usize = 16;

impl Apply<'_> {
    /// Puts an order about many tasks on record. It is about those that exist now.
    pub(super) fn start_job(&mut self, command: StartJob) -> Result<Reply, Rejection> {
        let StartJob { action, filter, by } = command;
        let limits = self.limits();
        if filter.bytes().saturating_add(by.len()) > limits.job_bytes_max {
            return Err(Rejection::limit("bytes of a filter", limits.job_bytes_max));
        }
        if let Some(state) = filter.states.iter().find(|state| !action.is_for(**state)) {
            return Err(Rejection::invalid(&format!("{action} is not for tasks that are {state}")));
        }
        if self.state.jobs_under_way().count() >= limits.jobs_under_way_max {
            return Err(Rejection::limit("jobs under way", limits.jobs_under_way_max));
        }

        let to = self.meta.next_task;
        let from = match action {
            JobAction::Cancel => self.state.tasks().keys().next().copied().unwrap_or(to),
            JobAction::Retry => TaskId(1),
        };
        let id = JobId(self.index.0);
        let job = Job {
            id,
            action,
            filter,
            by,
            from,
            to,
            passed: 0,
            done: 0,
            refused: 0,
            started_at: self.now,
            end: None,
            index: self.index,
        };
        self.put_job(job);
        self.make_room_for_jobs();
        Ok(Reply::JobStarted(id))
    }

    /// Takes one step of a job.
    pub(super) fn advance_job(&mut self, command: AdvanceJob) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        let known = self.state.job(command.job).filter(|job| job.is_under_way());
        let known = known.ok_or_else(|| Rejection::invalid("no such job is under way"))?;
        let job = Job::clone(known);
        match (job.action, command.step) {
            (JobAction::Cancel, JobStep::Cancel) => {
                self.cancel_next(job);
                Ok(Reply::Done)
            }
            (JobAction::Retry, JobStep::Retry(batch)) => {
                self.retry_batch(job, &batch)?;
                Ok(Reply::Done)
            }
            (JobAction::Cancel, JobStep::Retry(_)) | (JobAction::Retry, JobStep::Cancel) => {
                Err(Rejection::invalid("a step of another kind of job"))
            }
        }
    }

    fn cancel_next(&mut self, mut job: Job) {
        let limits = self.limits();
        let mut meant = Vec::new();
        let mut reached = job.to;
        let mut edges = self.edges;
        let ahead = self.state.tasks().range(job.next_upwards()..job.to);
        for (looked_at, (id, task)) in ahead.enumerate() {
            if looked_at == limits.job_examined_max
                || meant.len() == limits.job_tasks_max
                || edges >= limits.edges_per_command_max
            {
                reached = *id;
                break;
            }
            if job.covers(task) {
                meant.push(*id);
                edges = edges.saturating_add(self.edges_of(*id));
            }
        }

        self.edges = edges;
        for id in meant {
            // The end of one before may have been that of others.
            if self.cancel_task(id).is_ok() {
                job.done = job.done.saturating_add(1);
            }
        }
        job.passed = reached.0.saturating_sub(job.from.0);
        self.put_job(job);
    }

    /// Has tasks run again. What the state refuses of one task does not keep back the others; a bound on all
    /// of them stops the job.
    fn retry_batch(&mut self, mut job: Job, batch: &RetryBatch) -> Result<(), Rejection> {
        let RetryBatch { tasks, known_at, ends, passed } = batch;
        let is_behind = tasks.iter().any(|task| self.state.cascade(task.id).is_some());
        if *known_at < self.meta.last_retry || is_behind {
            return Err(Rejection::RetriedMeanwhile);
        }
        let is_sound = tasks.len() <= self.limits().job_tasks_max
            && (job.passed..=job.total()).contains(passed)
            && tasks.iter().all(|task| task.id < self.meta.next_task && task.index <= *known_at);
        if !is_sound {
            return Err(Rejection::invalid("a step that does not fit its job"));
        }

        let mut left = tasks.iter().rev().filter(|task| job.covers(task)).collect::<Vec<_>>();
        for _ in 0..ROUNDS_MAX {
            let mut refused = Vec::new();
            for task in &left {
                // One that was retried by itself meanwhile is not meant any more.
                if self.state.task(task.id).is_some() {
                    continue;
                }
                match self.run_again(task, ends, *known_at) {
                    Ok(_) => job.done = job.done.saturating_add(1),
                    Err(Rejection::NotRetryable { .. } | Rejection::DependencyEnded { .. }) => {
                        refused.push(*task);
                    }
                    Err(bound) => {
                        let reason = bound.to_string().into();
                        job.end = Some((self.now, JobEnd::Stopped { reason }));
                        self.put_job(job);
                        return Ok(());
                    }
                }
            }
            let has_progressed = refused.len() < left.len();
            left = refused;
            if !has_progressed {
                break;
            }
        }
        job.refused = job.refused.saturating_add(u64::try_from(left.len()).unwrap_or(u64::MAX));
        job.passed = *passed;
        self.put_job(job);
        Ok(())
    }

    /// Writes a job. One that has passed everything has ended.
    fn put_job(&mut self, mut job: Job) {
        if job.end.is_none() && job.passed >= job.total() {
            job.end = Some((self.now, JobEnd::Completed));
        }
        let job = Arc::new(Job { index: self.index, ..job });
        self.state.put_job(Arc::clone(&job));
        self.changes.push(Change::Put(Record::Job(job)));
    }

    /// Forgets the oldest jobs that have ended, as far as there are too many.
    fn make_room_for_jobs(&mut self) {
        while self.state.jobs().len() > self.limits().jobs_kept_max {
            let ended = self.state.jobs().find(|job| !job.is_under_way()).map(|job| job.id);
            let Some(oldest) = ended else { break };
            self.state.remove_job(oldest);
            self.changes.push(Change::Delete(Key::Job(oldest)));
        }
    }
}
