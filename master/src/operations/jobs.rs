//! Orders about many tasks, and how far they have come.

use std::sync::Arc;

use cluster_state::{Command, Job, JobAction, JobId, Reply, StartJob, TaskFilter};
use proto::problem::{ErrorKind, Problem};

use super::tasks::unexpected;
use super::{Answer, Operations, Reading};
use crate::access::Caller;

impl Operations {
    /// Gives an order about all tasks that a filter selects, as far as the caller may know of them.
    pub(crate) async fn start_job(
        &self,
        action: JobAction,
        filter: TaskFilter,
        by: &Caller,
    ) -> Result<Answer<Arc<Job>>, Problem> {
        let filter = TaskFilter { scope: by.scope().cloned(), ..filter };
        let principal = by.principal().to_string();
        let command = Command::StartJob(StartJob { action, filter, by: principal });
        let Answer { body: reply, mark } = self.order(command, by).await?;
        let Reply::JobStarted(id) = reply else { return Err(unexpected(&reply)) };
        tracing::info!(job = %id, %action, request = %by.request(), "an order about many tasks");
        self.job(id, Reading::default(), by).await.map(|known| mark.on(known.body))
    }

    /// Returns one job.
    pub(crate) async fn job(
        &self,
        id: JobId,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<Arc<Job>>, Problem> {
        let mark = self.reach(reading).await?;
        let known = self.node().reader().with(|state| state.job(id).cloned());
        let known = known.filter(|job| is_shown_to(job, by)).ok_or_else(|| {
            Problem::new(ErrorKind::NotFound, format!("there is no job {id}, or not any more"))
        })?;
        Ok(mark.on(known))
    }

    /// Returns the jobs that are known, newest first.
    pub(crate) async fn jobs(
        &self,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<Vec<Arc<Job>>>, Problem> {
        let mark = self.reach(reading).await?;
        let mut jobs =
            self.node().reader().with(|state| state.jobs().rev().cloned().collect::<Vec<_>>());
        jobs.retain(|job| is_shown_to(job, by));
        Ok(mark.on(jobs))
    }
}

/// Returns whether the caller may know of a job: whoever has a scope, of those about tasks within it.
fn is_shown_to(job: &Job, by: &Caller) -> bool {
    by.scope().is_none_or(|scope| job.filter.scope.as_ref() == Some(scope))
}
