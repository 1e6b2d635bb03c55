//! The output of one attempt, read from its worker.

use std::pin::Pin;
use std::sync::Arc;

use cluster_state::{AttemptNumber, WorkerId};
use futures_util::{Stream, StreamExt};
use proto::output::{OutputChunk, OutputPlace, OutputRequest};
use proto::problem::{ErrorKind, Problem};
use proto::worker_client::{WorkerCallError, WorkerClient};

use super::{Outlet, Stop};

type Chunks = Pin<Box<dyn Stream<Item = Result<OutputChunk, WorkerCallError>> + Send>>;

/// An open output.
pub(super) struct Output {
    attempt: AttemptNumber,
    worker: WorkerId,
    chunks: Chunks,
    place: OutputPlace,
    /// Keeps the connection.
    _client: Arc<WorkerClient>,
}

impl Output {
    /// Asks the worker for it.
    pub(super) async fn open(
        client: Arc<WorkerClient>,
        request: OutputRequest,
    ) -> Result<Self, Problem> {
        let (worker, attempt) = (request.worker.clone(), request.attempt.attempt);
        let place = request.place;
        let chunks = client.logs(request).await.map_err(|error| refused(&worker, &error))?;
        Ok(Self { attempt, worker, chunks: Box::pin(chunks), place, _client: client })
    }

    /// Returns the position that was reached.
    pub(super) const fn place(&self) -> OutputPlace {
        self.place
    }

    /// Passes on all of it.
    pub(super) async fn copy(mut self, outlet: &Outlet) -> Result<(), Stop> {
        self.copy_on(outlet).await
    }

    /// Copies on; after a failure the position says where to continue.
    pub(super) async fn copy_on(&mut self, outlet: &Outlet) -> Result<(), Stop> {
        while let Some(chunk) = self.chunks.next().await {
            let chunk = chunk.map_err(|error| refused(&self.worker, &error))?;
            let mut behind = self.place;
            behind.pass(&chunk);
            outlet.send_output(self.attempt, chunk).await?;
            self.place = behind;
        }
        Ok(())
    }
}

fn refused(worker: &WorkerId, error: &WorkerCallError) -> Problem {
    let kind = match error {
        WorkerCallError::Unreachable(_) => ErrorKind::Timeout,
        WorkerCallError::NewerTerm(_) | WorkerCallError::Refused(_) => ErrorKind::NotFound,
    };
    Problem::new(kind, format!("the output is on worker '{worker}': {error}"))
}
