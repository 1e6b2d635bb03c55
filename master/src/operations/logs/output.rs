//! The output of one attempt, read from its worker.

use std::pin::Pin;
use std::sync::Arc;

use cluster_state::Attempt;
use futures_util::{Stream, StreamExt};
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};

use super::{Outlet, Stop};

type Chunks = Pin<Box<dyn Stream<Item = Result<v1::LogChunk, WorkerCallError>> + Send>>;

/// Position of a reader in the output of an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stdout: Option<u64>,
    pub(super) stderr: Option<u64>,
    /// Counts for a stream of which nothing has been read.
    pub(super) tail_lines: Option<u64>,
}

impl Place {
    fn pass(&mut self, chunk: &v1::LogChunk) {
        match chunk.stream() {
            v1::OutputStream::Stdout => self.stdout = Some(chunk.next_offset),
            v1::OutputStream::Stderr => self.stderr = Some(chunk.next_offset),
            // Neither: a later version has streams that this one does not know.
            v1::OutputStream::Unspecified => {}
        }
    }
}

/// An open output.
pub(super) struct Output {
    attempt: u32,
    worker: String,
    chunks: Chunks,
    place: Place,
    /// Keeps the connection.
    _client: Arc<WorkerClient>,
}

impl Output {
    /// Asks the worker for it.
    pub(super) async fn open(
        client: Arc<WorkerClient>,
        attempt: &Attempt,
        place: Place,
        request: v1::StreamTaskLogsRequest,
    ) -> Result<Self, Problem> {
        let worker = attempt.worker.to_string();
        let request = v1::StreamTaskLogsRequest {
            worker_id: worker.clone(),
            tail_lines: place.tail_lines,
            stdout_offset: place.stdout,
            stderr_offset: place.stderr,
            ..request
        };
        let chunks = client.logs(request).await.map_err(|error| refused(&worker, &error))?;
        let attempt = attempt.number.0;
        Ok(Self { attempt, worker, chunks: Box::pin(chunks), place, _client: client })
    }

    /// Returns the position that was reached.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Passes on all of it.
    pub(super) async fn copy(mut self, outlet: &Outlet) -> Result<(), Stop> {
        self.copy_on(outlet).await
    }

    /// Copies on; after a failure the position says where to continue.
    pub(super) async fn copy_on(&mut self, outlet: &Outlet) -> Result<(), Stop> {
        while let Some(chunk) = self.chunks.next().await {
            let mut chunk = chunk.map_err(|error| refused(&self.worker, &error))?;
            chunk.attempt = self.attempt;
            let mut behind = self.place;
            behind.pass(&chunk);
            outlet.send_output(chunk).await?;
            self.place = behind;
        }
        Ok(())
    }
}

/// Says whose output follows.
pub(super) fn opening(attempt: &Attempt) -> v1::LogChunk {
    let worker_id = attempt.worker.to_string();
    v1::LogChunk { attempt: attempt.number.0, worker_id, ..v1::LogChunk::default() }
}

fn refused(worker: &str, error: &WorkerCallError) -> Problem {
    let kind = match error {
        WorkerCallError::Unreachable(_) => ErrorKind::Timeout,
        WorkerCallError::NewerTerm(_) | WorkerCallError::Refused(_) => ErrorKind::NotFound,
    };
    Problem::new(kind, format!("the output is on worker '{worker}': {error}"))
}
