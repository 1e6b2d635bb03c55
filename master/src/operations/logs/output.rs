//! The output of one attempt, read from its worker.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::WorkerId;
use futures_util::{Stream, StreamExt};
use proto::output::{Flow, OutputChunk, OutputPlace, OutputRequest};
use proto::problem::{ErrorKind, Problem};
use proto::worker_client::{WorkerCallError, WorkerClient};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::pace::Pace;
use super::{LogChannels, Outlet, Stop, pieces};

/// Time that a fast reader may leave output unread before little is on its way to it.
const STALL_MAX: Duration = Duration::from_millis(250);
/// Limit of a change of the flow, during which the reader gets nothing.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(1);

type Chunks = Pin<Box<dyn Stream<Item = Result<OutputChunk, WorkerCallError>> + Send>>;

/// An open output. It begins narrow, and is opened again at its place when the reader turns out to
/// be fast, and when a fast reader is slow: an open stream cannot be widened.
pub(super) struct Output {
    source: Source,
    /// As it was asked for.
    request: OutputRequest,
    stream: OpenStream,
    place: OutputPlace,
    pace: Pace,
    /// True while the position says all that was handed over.
    is_counted: bool,
}

/// Worker that has the output.
pub(super) struct Source {
    pub(super) channels: Arc<LogChannels>,
    pub(super) address: String,
}

struct OpenStream {
    chunks: Chunks,
    /// Keeps the connection.
    _client: Arc<WorkerClient>,
    /// Place among the fast readers of a wide stream.
    fast: Option<OwnedSemaphorePermit>,
}

impl Source {
    async fn open(
        &self,
        request: OutputRequest,
        fast: Option<OwnedSemaphorePermit>,
    ) -> Result<OpenStream, Problem> {
        let worker = request.worker.clone();
        let client = self
            .channels
            .get(&worker, &self.address, request.flow)
            .map_err(|error| Problem::new(ErrorKind::Internal, error.to_string()))?;
        let chunks = client.logs(request).await.map_err(|error| refused(&worker, &error))?;
        Ok(OpenStream { chunks: Box::pin(chunks), _client: client, fast })
    }
}

impl Output {
    /// Asks the worker for it.
    pub(super) async fn open(source: Source, request: OutputRequest) -> Result<Self, Problem> {
        let stream = source.open(request.clone(), None).await?;
        let (place, pace) = (request.place, Pace::starting(Instant::now()));
        // The begin of a tail moves as the output grows.
        let is_counted = place.tail_lines.is_none();
        Ok(Self { source, request, stream, place, pace, is_counted })
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
        while let Some(chunk) = self.stream.chunks.next().await {
            let chunk = chunk.map_err(|error| refused(&self.request.worker, &error))?;
            let bytes = chunk.data.len();
            self.is_counted &= chunk.stream.is_some() && chunk.next_offset >= bytes as u64;
            self.hand_over(chunk, outlet).await?;
            let flow = self.pace.on_taken(bytes, Instant::now());
            if let Some(flow) = flow.filter(|flow| *flow != self.flow()) {
                self.change(flow).await;
            }
        }
        Ok(())
    }

    /// Hands over a chunk. What a reader leaves unread of a wide stream is dropped with all that is
    /// on its way, and read again when the reader takes it.
    async fn hand_over(&mut self, chunk: OutputChunk, outlet: &Outlet) -> Result<(), Stop> {
        for piece in pieces(chunk) {
            let is_stalled = match self.flow() {
                Flow::Narrow => false,
                Flow::Wide => !outlet.has_room_within(STALL_MAX, &piece).await,
            };
            if is_stalled && self.change(Flow::Narrow).await {
                return Ok(());
            }
            let mut behind = self.place;
            behind.pass(&piece);
            outlet.send_output(self.request.attempt.attempt, piece).await?;
            self.place = behind;
        }
        Ok(())
    }

    const fn flow(&self) -> Flow {
        if self.stream.fast.is_some() { Flow::Wide } else { Flow::Narrow }
    }

    /// Opens the output again at its place, for another rate. Returns false if it stays as it is,
    /// which is no failure: a worker may let no more readers in.
    async fn change(&mut self, flow: Flow) -> bool {
        if !self.is_counted {
            return false;
        }
        let fast = match flow {
            Flow::Narrow => None,
            Flow::Wide => match self.source.channels.fast_reader() {
                Some(fast) => Some(fast),
                None => return false,
            },
        };
        let request = OutputRequest { flow, place: self.place, ..self.request.clone() };
        let Ok(Ok(stream)) = timeout(CHANGE_TIMEOUT, self.source.open(request, fast)).await else {
            return false;
        };
        self.stream = stream;
        self.pace = Pace::starting(Instant::now());
        true
    }
}

fn refused(worker: &WorkerId, error: &WorkerCallError) -> Problem {
    let kind = match error {
        WorkerCallError::Unreachable(_) => ErrorKind::Timeout,
        WorkerCallError::NewerTerm(_) | WorkerCallError::Refused(_) => ErrorKind::NotFound,
    };
    Problem::new(kind, format!("the output is on worker '{worker}': {error}"))
}
