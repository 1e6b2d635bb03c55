//! Calls one worker on behalf of the leader, over one connection that is kept open.

use std::error::Error;
use std::time::Duration;

use cluster_state::WorkerId;
use credentials::Expected;
use futures_util::Stream;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::call_failure::CallFailure;
use crate::channel::{ConnectError, Dialer, InvalidAddress};
use crate::deadline::{self, timed};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::output::{Flow, OutputChunk, OutputRequest};
use crate::v1::worker_service_client::WorkerServiceClient;
use crate::v1::{
    AssignTaskRequest, AssignTaskResponse, CancelTaskRequest, CancelTaskResponse, DismissRequest,
    DismissResponse, MasterRegisterRequest, MasterRegisterResponse, StreamTaskLogsRequest,
};

/// Metadata key of the highest term seen, in the refusal of an older leader.
pub const TERM_SEEN: &str = "term-seen";

const NO_ANSWER: &str = "it did not answer in time";

/// Reason that a call to a worker failed, as far as the leader can know.
#[derive(Debug, thiserror::Error)]
pub enum WorkerCallError {
    /// The worker did not answer in time, or the connection failed: it may be offline.
    #[error("worker is unreachable: {0}")]
    Unreachable(String),
    /// The worker obeys a newer leader.
    #[error("worker has seen term {0}, which is newer than ours")]
    NewerTerm(u64),
    /// The worker refused: another cluster, another worker at that address, no session.
    #[error("worker refused: {0}")]
    Refused(String),
}

/// A client of a worker's gRPC server.
#[derive(Debug, Clone)]
pub struct WorkerClient {
    inner: WorkerServiceClient<Channel>,
}

impl WorkerClient {
    /// Creates a client that connects on first use.
    ///
    /// # Errors
    ///
    /// When the address is not `host:port`.
    pub fn new(dialer: &Dialer, worker: &WorkerId, address: &str) -> Result<Self, InvalidAddress> {
        Ok(Self::over(dialer.connect_lazily_unprobed(address, expected(worker))?))
    }

    /// Creates a client that connects on first use, to read logs only, at such a rate.
    ///
    /// # Errors
    ///
    /// When the address is not `host:port`.
    pub fn for_logs(
        dialer: &Dialer,
        worker: &WorkerId,
        address: &str,
        flow: Flow,
    ) -> Result<Self, InvalidAddress> {
        Ok(Self::over(dialer.connect_for_long_streams(address, expected(worker), flow)?))
    }

    /// Connects now, which distinguishes an offline worker from one that does not answer.
    ///
    /// # Errors
    ///
    /// When no peer has accepted the connection within `timeout`.
    pub async fn connect(
        dialer: &Dialer,
        worker: &WorkerId,
        address: &str,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        Ok(Self::over(dialer.connect(address, expected(worker), timeout).await?))
    }

    fn over(channel: Channel) -> Self {
        let inner = WorkerServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { inner }
    }

    /// Tells the worker that this master leads, so that it registers.
    ///
    /// # Errors
    ///
    /// As [`WorkerCallError`] says.
    pub async fn master_register(
        &self,
        request: MasterRegisterRequest,
        timeout: Duration,
    ) -> Result<MasterRegisterResponse, WorkerCallError> {
        let mut client = self.inner.clone();
        within(timeout, client.master_register(timed(request, timeout))).await
    }

    /// Assigns attempts.
    ///
    /// # Errors
    ///
    /// As [`WorkerCallError`] says; after [`WorkerCallError::Unreachable`] the attempts may run.
    pub async fn assign(
        &self,
        request: AssignTaskRequest,
        timeout: Duration,
    ) -> Result<AssignTaskResponse, WorkerCallError> {
        let mut client = self.inner.clone();
        within(timeout, client.assign_task(timed(request, timeout))).await
    }

    /// Asks the worker to stop attempts.
    ///
    /// # Errors
    ///
    /// As [`WorkerCallError`] says.
    pub async fn cancel(
        &self,
        request: CancelTaskRequest,
        timeout: Duration,
    ) -> Result<CancelTaskResponse, WorkerCallError> {
        let mut client = self.inner.clone();
        within(timeout, client.cancel_task(timed(request, timeout))).await
    }

    /// Tells the worker that it was unregistered.
    ///
    /// # Errors
    ///
    /// As [`WorkerCallError`] says; after [`WorkerCallError::Unreachable`] it may know.
    pub async fn dismiss(
        &self,
        request: DismissRequest,
        timeout: Duration,
    ) -> Result<DismissResponse, WorkerCallError> {
        let mut client = self.inner.clone();
        within(timeout, client.dismiss(timed(request, timeout))).await
    }

    /// Reads an attempt's output.
    ///
    /// # Errors
    ///
    /// As [`WorkerCallError`] says, for the call and for each chunk.
    pub async fn logs(
        &self,
        request: OutputRequest,
    ) -> Result<impl Stream<Item = Result<OutputChunk, WorkerCallError>> + use<>, WorkerCallError>
    {
        use futures_util::TryStreamExt;

        let mut client = self.inner.clone();
        let request = StreamTaskLogsRequest::from(request);
        let response = client.stream_task_logs(request).await.map_err(|s| refusal(&s))?;
        let chunks = response.into_inner().map_ok(OutputChunk::from);
        Ok(chunks.map_err(|status| refusal(&status)))
    }
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, WorkerCallError> {
    deadline::within("the worker", timeout, call).await.map_err(|status| refusal(&status))
}

fn refusal(status: &Status) -> WorkerCallError {
    let term_seen = status.metadata().get(TERM_SEEN).and_then(|value| value.to_str().ok());
    if let Some(term) = term_seen.and_then(|text| text.parse().ok()) {
        return WorkerCallError::NewerTerm(term);
    }
    let answers = || WorkerCallError::Refused(status.message().to_owned());
    match CallFailure::of(status) {
        // Either side's timeout may end the call first, and each has its own words for it.
        CallFailure::TimedOut => WorkerCallError::Unreachable(NO_ANSWER.to_owned()),
        // A worker that itself says that it is unavailable has answered: that has no cause here.
        CallFailure::Broken if is_own_word(status) => answers(),
        CallFailure::NeverConnected | CallFailure::Broken => {
            WorkerCallError::Unreachable(first_cause(status))
        }
        CallFailure::Refused => answers(),
    }
}

fn is_own_word(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.source().is_none()
}

/// Returns the innermost cause, such as "Connection refused": those above it only say that
/// something failed.
fn first_cause(status: &Status) -> String {
    let mut cause = status.source();
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

fn expected(worker: &WorkerId) -> Expected {
    Expected::Worker(worker.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: &Status) -> String {
        refusal(status).to_string()
    }

    #[test]
    fn silence_is_told_in_the_same_words_whoever_noticed_it() {
        let ours = Status::deadline_exceeded("the worker did not answer in time");
        let of_the_transport = Status::from_error(Box::new(tonic::TimeoutExpired(())));
        let of_the_worker = Status::cancelled("Timeout expired");
        for status in [ours, of_the_transport, of_the_worker] {
            assert_eq!(seen(&status), "worker is unreachable: it did not answer in time");
        }
    }

    #[test]
    fn a_worker_that_refuses_is_quoted() {
        let busy = Status::unavailable("shutting down");
        assert_eq!(seen(&busy), "worker refused: shutting down");
    }
}
