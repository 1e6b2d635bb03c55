//! What a task wrote, fetched from the worker that ran it.

use std::sync::Arc;

use cluster_state::{Attempt, AttemptNumber, Task};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};

use super::tasks::{no_such_task, task_id};
use super::{Operations, Reading};

/// Chunks of output as they arrive.
pub(crate) type LogStream = BoxStream<'static, Result<v1::LogChunk, Problem>>;

/// Which output is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogRequest {
    /// Of which task.
    pub(crate) task: String,
    /// Of which of its attempts; the last when absent.
    pub(crate) attempt: Option<AttemptNumber>,
    /// `stdout`, `stderr`, or both when empty.
    pub(crate) stream: String,
    /// Whether to go on until the attempt ends.
    pub(crate) follow: Follow,
    /// Only the last so many lines.
    pub(crate) tail_lines: Option<u64>,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Follow {
    /// At what has been written so far.
    #[default]
    No,
    /// At the attempt's end; one that has not begun is waited for.
    ToTheEnd,
}

impl Operations {
    /// Opens the output of an attempt.
    pub(crate) async fn logs(&self, request: LogRequest) -> Result<LogStream, Problem> {
        if !matches!(request.stream.as_str(), "" | "stdout" | "stderr") {
            let detail = format!("stream '{}' is neither stdout nor stderr", request.stream);
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let task = self.started_task(&request).await?;
        let attempt = pick(&task, request.attempt)?;
        let worker = &attempt.worker;
        let address = self
            .node()
            .reader()
            .with(|state| state.worker(worker).and_then(|worker| worker.address.clone()))
            .ok_or_else(|| {
                let detail = format!("worker '{worker}', which ran it, is not registered any more");
                Problem::new(ErrorKind::NotFound, detail)
            })?;

        let client = WorkerClient::new(&address)
            .map_err(|error| Problem::new(ErrorKind::Internal, error.to_string()))?;
        let cluster = self.node().cluster_id();
        let opened = client.logs(v1::StreamTaskLogsRequest {
            cluster_id: cluster.map(|cluster| cluster.to_string()).unwrap_or_default(),
            worker_id: worker.to_string(),
            attempt: Some(v1::AttemptRef {
                task_id: task.id.to_string(),
                attempt: attempt.number.0,
            }),
            stream: request.stream,
            follow: request.follow == Follow::ToTheEnd,
            tail_lines: request.tail_lines,
        });
        let worker = worker.clone();
        let chunks = opened.await.map_err(|error| refused(worker.as_str(), &error))?;
        let chunks = chunks
            .map(move |chunk| chunk.map_err(|error| refused(worker.as_str(), &error)))
            .take_until(self.stopping().clone().cancelled_owned());
        Ok(chunks.boxed())
    }

    /// The task, once an attempt of it has begun when that is worth waiting for.
    async fn started_task(&self, request: &LogRequest) -> Result<Arc<Task>, Problem> {
        let id = task_id(&request.task)?;
        self.reach(Reading::default()).await?;
        let mut slot = None;
        loop {
            let wait = self.shared.waits.listen(id);
            let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
            // An attempt that its worker has not confirmed may not have reached it yet.
            let has_begun = task
                .last_attempt()
                .is_some_and(|last| last.started_at.is_some() || last.outcome.is_some());
            let may_begin = !has_begun && !task.state.is_terminal();
            if request.follow == Follow::No || !may_begin {
                return Ok(task);
            }
            if slot.is_none() {
                slot = Some(self.wait_slot()?);
            }
            tokio::select! {
                () = wait.news() => {}
                () = self.stopping().cancelled() => {
                    return Err(Problem::new(ErrorKind::NotLeader, "this master is stopping"));
                }
            }
        }
    }
}

fn pick(task: &Task, wanted: Option<AttemptNumber>) -> Result<&Attempt, Problem> {
    let found = match wanted {
        Some(number) => task.attempts.iter().find(|attempt| attempt.number == number),
        None => task.last_attempt(),
    };
    found.ok_or_else(|| {
        let detail = match wanted {
            Some(number) => format!("task {} has no attempt {number}", task.id),
            None => format!("task {} is {} and has not been started", task.id, task.state),
        };
        Problem::new(ErrorKind::NotFound, detail)
    })
}

fn refused(worker: &str, error: &WorkerCallError) -> Problem {
    let kind = match error {
        WorkerCallError::Unreachable(_) => ErrorKind::Timeout,
        WorkerCallError::NewerTerm(_) | WorkerCallError::Refused(_) => ErrorKind::NotFound,
    };
    Problem::new(kind, format!("the output is on worker '{worker}': {error}"))
}
