//! Follows a task's output from attempt to attempt, wherever they run.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Attempt, AttemptNumber, AttemptRef, Task, TaskId};
use proto::output::{Flow, OutputPlace, OutputRequest, OutputStream};
use proto::problem::{ErrorKind, Problem};

use super::output::{Output, Source};
use super::{LogPiece, Operations, Outlet, Stop, has_begun, opening};
use crate::operations::Reading;

/// Between two tries to reach a worker whose attempt is not given up.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Time without news of a task after which it is checked that this master still receives any.
const NEWS_PATIENCE: Duration = Duration::from_secs(20);

/// Reads for one request.
#[derive(Debug)]
pub(super) struct Follower {
    operations: Operations,
    task: TaskId,
    /// One output, or both when absent.
    stream: Option<OutputStream>,
}

impl Follower {
    pub(super) const fn new(
        operations: Operations,
        task: TaskId,
        stream: Option<OutputStream>,
    ) -> Self {
        Self { operations, task, stream }
    }

    /// Reads from an attempt on, the last there is when none is named, until the task is finished.
    pub(super) async fn follow(
        &self,
        first: Option<AttemptNumber>,
        mut place: OutputPlace,
        outlet: &Outlet,
    ) -> Result<(), Stop> {
        let mut next = first;
        while let Some(attempt) = self.begun_attempt(next, outlet).await? {
            outlet.send(opening(&attempt)).await?;
            self.read(&attempt, place, outlet).await?;
            next = Some(attempt.number.next());
            place = OutputPlace::default();
        }
        Ok(())
    }

    /// Waits for one attempt to begin and reads it to its end.
    pub(super) async fn wait_for(
        &self,
        number: AttemptNumber,
        place: OutputPlace,
        outlet: &Outlet,
    ) -> Result<(), Stop> {
        let attempt = self.begun_attempt(Some(number), outlet).await?;
        let Some(attempt) = attempt.filter(|attempt| attempt.number == number) else {
            return Ok(());
        };
        outlet.send(opening(&attempt)).await?;
        self.open(&attempt, place, true).await?.copy(outlet).await
    }

    /// Opens the output of one attempt.
    pub(super) async fn open(
        &self,
        attempt: &Attempt,
        place: OutputPlace,
        follow: bool,
    ) -> Result<Output, Problem> {
        let worker = &attempt.worker;
        let node = self.operations.node();
        let address = node
            .reader()
            .with(|state| state.worker(worker).and_then(|worker| worker.address.clone()))
            .ok_or_else(|| {
                let detail = format!(
                    "the output is on worker '{worker}', which is not registered any more: it \
                     stays in its data directory"
                );
                Problem::new(ErrorKind::NotFound, detail)
            })?;
        let request = OutputRequest {
            cluster: node.cluster_id(),
            worker: worker.clone(),
            attempt: AttemptRef { task: self.task, attempt: attempt.number },
            stream: self.stream,
            follow,
            flow: Flow::Narrow,
            place,
        };
        let channels = Arc::clone(&self.operations.shared.log_channels);
        Output::open(Source { channels, address }, request).await
    }

    /// Reads an attempt to its end. A worker that is not reached may come back, until the attempt is
    /// over; what is missing then is told.
    async fn read(
        &self,
        attempt: &Attempt,
        mut place: OutputPlace,
        outlet: &Outlet,
    ) -> Result<(), Stop> {
        loop {
            let wait = self.operations.shared.waits.listen(self.task);
            let was_over = self.is_over(attempt.number).await?;
            let failure = match self.open(attempt, place, true).await {
                Ok(mut output) => {
                    let copied = output.copy_on(outlet).await;
                    place = output.place();
                    match copied {
                        Ok(()) => return Ok(()),
                        Err(Stop::ReaderGone) => return Err(Stop::ReaderGone),
                        Err(Stop::Failed(failure)) => failure,
                    }
                }
                Err(failure) => failure,
            };
            if was_over {
                let (attempt, text) = (Some(attempt.number), failure.detail);
                return outlet.send(LogPiece::Notice { attempt, text }).await;
            }
            tokio::select! {
                () = wait.news() => {}
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }

    async fn is_over(&self, attempt: AttemptNumber) -> Result<bool, Problem> {
        let Some(task) = self.operations.find(self.task).await? else { return Ok(true) };
        let found = task.attempts.iter().find(|one| one.number == attempt);
        Ok(found.is_none_or(|one| one.outcome.is_some()))
    }

    /// Waits for an attempt from that one on to begin; none when the task is finished without.
    async fn begun_attempt(
        &self,
        from: Option<AttemptNumber>,
        outlet: &Outlet,
    ) -> Result<Option<Attempt>, Stop> {
        loop {
            let wait = self.operations.shared.waits.listen(self.task);
            // Retention has removed it: there is nothing more to come.
            let Some(task) = self.operations.find(self.task).await? else { return Ok(None) };
            if let Some(attempt) = begun(&task, from) {
                return Ok(Some(attempt.clone()));
            }
            if task.state.is_terminal() {
                if task.attempts.is_empty() {
                    let text = format!("task {} is {} and was never started", task.id, task.state);
                    outlet.send(LogPiece::Notice { attempt: None, text }).await?;
                }
                return Ok(None);
            }
            tokio::select! {
                () = wait.news() => {}
                () = tokio::time::sleep(NEWS_PATIENCE) => {
                    self.operations.reach(Reading::default()).await?;
                }
            }
        }
    }
}

fn begun(task: &Arc<Task>, from: Option<AttemptNumber>) -> Option<&Attempt> {
    let wanted = match from {
        Some(from) => task.attempts.iter().find(|attempt| attempt.number >= from),
        None => task.last_attempt(),
    };
    wanted.filter(|attempt| has_begun(attempt))
}
