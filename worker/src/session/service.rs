//! The gRPC service that leaders call.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AttemptRef, ClusterId, Epoch, MasterId, OnDisconnect, Resources, Term, WorkerId,
};
use futures_util::{Stream, StreamExt, stream};
use proto::convert::{Invalid, attempt_refs, id};
use proto::output::OutputStream;
use proto::v1;
use proto::v1::worker_service_server::WorkerService;
use proto::worker_client::TERM_SEEN;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use tracing::{error, info};

use super::DISMISSAL_GRACE;
use super::leader_signal::{Call, LeaderSignal};
use crate::attempts::Attempts;
use crate::executor::Launch;
use crate::identity::{Identity, LeaderRefusal};
use crate::ledger::{AssignRefusal, Begin};
use crate::logs::{Follow, LogReader, Logs, OpenError};

type LogStream = Pin<Box<dyn Stream<Item = Result<v1::LogChunk, Status>> + Send>>;

/// Receives calls of leaders: checks the caller, then passes the message on.
#[derive(Debug)]
pub(crate) struct LeaderCalls {
    pub(crate) worker_id: WorkerId,
    /// Decides which leaders to obey.
    pub(crate) identity: Arc<Identity>,
    pub(crate) attempts: Attempts,
    pub(crate) logs: Logs,
    /// Passes signals of leaders to the session keeper.
    pub(crate) signals: watch::Sender<Option<LeaderSignal>>,
    /// Ends the streams that follow logs.
    pub(crate) stop: CancellationToken,
}

struct Leader {
    id: MasterId,
    cluster: ClusterId,
    term: Term,
    address: String,
}

impl LeaderCalls {
    /// Admits only the leader of this worker's cluster, in a term no older than any seen, with a
    /// request to this worker. A master must have confirmed the leader.
    async fn admit(
        &self,
        header: Option<v1::LeaderHeader>,
        worker_id: &str,
    ) -> Result<Leader, Status> {
        let leader = self.claim(header, worker_id)?;
        let confirmed = self.identity.confirm(leader.cluster, leader.term).await;
        confirmed.map_err(|refusal| refuse(&refusal))?;
        Ok(leader)
    }

    /// Admits a caller that claims to be that leader.
    fn claim(&self, header: Option<v1::LeaderHeader>, worker_id: &str) -> Result<Leader, Status> {
        let header =
            header.ok_or_else(|| Status::invalid_argument("the call does not say who leads"))?;
        self.check_worker(worker_id)?;
        let cluster = id("/leader/cluster_id", &header.cluster_id)?;
        let term = Term(header.term);
        self.identity.judge(cluster, term).map_err(|refusal| refuse(&refusal))?;
        let id = MasterId(header.leader_id);
        Ok(Leader { id, cluster, term, address: header.leader_address })
    }

    fn check_worker(&self, worker_id: &str) -> Result<(), Status> {
        if worker_id == self.worker_id.as_str() {
            return Ok(());
        }
        let ours = &self.worker_id;
        Err(Status::failed_precondition(format!("this is worker {ours}, not {worker_id}")))
    }

    fn check_cluster(&self, cluster_id: &str) -> Result<(), Status> {
        let theirs = id("/cluster_id", cluster_id)?;
        match self.identity.cluster_id() {
            Some(ours) if ours != theirs => {
                Err(refuse(&LeaderRefusal::OtherCluster { ours, theirs }))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl WorkerService for LeaderCalls {
    type StreamTaskLogsStream = LogStream;

    async fn master_register(
        &self,
        request: Request<v1::MasterRegisterRequest>,
    ) -> Result<Response<v1::MasterRegisterResponse>, Status> {
        let request = request.into_inner();
        // The registration of this worker shows whether it leads.
        let leader = self.claim(request.leader, &request.worker_id)?;
        let session_stands = self.attempts.stands_with(leader.id, leader.term);
        if !session_stands {
            info!(leader = %leader.id, address = leader.address, term = %leader.term,
                "master registration request");
            let masters = request.masters.into_iter().map(|master| master.address).collect();
            let Leader { id: leader, term, address, .. } = leader;
            let call = Call { leader, term, address, masters };
            self.signals.send_replace(Some(LeaderSignal::Register(call)));
        }
        let incarnation = self.identity.incarnation().to_string();
        Ok(Response::new(v1::MasterRegisterResponse { incarnation, session_stands }))
    }

    async fn assign_task(
        &self,
        request: Request<v1::AssignTaskRequest>,
    ) -> Result<Response<v1::AssignTaskResponse>, Status> {
        let request = request.into_inner();
        self.admit(request.leader, &request.worker_id).await?;
        let launches = request.assignments.into_iter().map(launch).collect::<Result<_, _>>()?;
        let accepted = self
            .attempts
            .assign(Epoch(request.epoch), launches)
            .map_err(|refusal| decline(&refusal))?;
        let accepted = accepted.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::AssignTaskResponse { accepted }))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let request = request.into_inner();
        self.admit(request.leader, &request.worker_id).await?;
        let attempts = attempt_refs(request.attempts)?;
        let unknown = self.attempts.cancel(&attempts, Duration::from_millis(request.grace_ms));
        let unknown = unknown.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::CancelTaskResponse { unknown }))
    }

    async fn dismiss(
        &self,
        request: Request<v1::DismissRequest>,
    ) -> Result<Response<v1::DismissResponse>, Status> {
        let request = request.into_inner();
        let leader = self.admit(request.leader, &request.worker_id).await?;
        let epoch = Epoch(request.epoch);
        let running = self
            .attempts
            .dismiss_from(epoch, DISMISSAL_GRACE)
            .map_err(|overtaken| Status::failed_precondition(overtaken.to_string()))?;
        let is_news = self.signals.send_if_modified(|signal| {
            let unregister = Some(LeaderSignal::Unregister(epoch));
            let is_news = *signal != unregister;
            *signal = unregister;
            is_news
        });
        if is_news {
            info!(leader = %leader.id, term = %leader.term, attempts = running,
                "unregistered by the leader: stopping attempts");
        }
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        Ok(Response::new(v1::DismissResponse { running }))
    }

    async fn stream_task_logs(
        &self,
        request: Request<v1::StreamTaskLogsRequest>,
    ) -> Result<Response<LogStream>, Status> {
        let request = request.into_inner();
        self.check_worker(&request.worker_id)?;
        self.check_cluster(&request.cluster_id)?;

        let attempt = request.attempt.unwrap_or_default();
        let attempt = AttemptRef::try_from(attempt)?;
        let wanted = OutputStream::of(request.stream)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let outputs = wanted.map_or_else(|| OutputStream::ALL.to_vec(), |one| vec![one]);
        let follow = if request.follow { Follow::Yes } else { Follow::No };
        let opened = self.logs.open(attempt, &outputs, follow, request.tail_lines);
        let mut reader = opened.map_err(|error| match error {
            OpenError::Unknown(_) => Status::not_found(error.to_string()),
            OpenError::TooManyReaders(_) => Status::resource_exhausted(error.to_string()),
        })?;

        if let Some(bytes) = request.chunk_bytes {
            reader.limit_chunks(bytes);
        }
        let offsets = [request.stdout_offset, request.stderr_offset];
        for (output, offset) in OutputStream::ALL.into_iter().zip(offsets) {
            if let Some(offset) = offset {
                reader.skip_to(output, offset);
            }
        }

        let chunks = stream::try_unfold((reader, self.stop.clone()), next_chunk);
        Ok(Response::new(chunks.boxed()))
    }
}

/// Returns the next chunk. A stop of the worker is an error and no end of the log: a reader would
/// take it for the end and miss the rest.
async fn next_chunk(
    (mut reader, stop): (LogReader, CancellationToken),
) -> Result<Option<(v1::LogChunk, (LogReader, CancellationToken))>, Status> {
    // Chunks that are ready together would be sent as one frame, and the receiver keeps all of it
    // for as long as one of them waits.
    tokio::task::yield_now().await;
    let chunk = tokio::select! {
        chunk = reader.next_chunk() => chunk,
        () = stop.cancelled() => return Err(Status::unavailable("the worker is stopping")),
    };
    let chunk =
        chunk.map_err(|error| Status::internal(format!("the log cannot be read: {error}")))?;
    let Some((output, data, next_offset)) = chunk else { return Ok(None) };
    let stream = OutputStream::number(Some(output));
    let wire = v1::LogChunk { stream, data, next_offset, ..v1::LogChunk::default() };
    Ok(Some((wire, (reader, stop))))
}

fn launch(wire: v1::Assignment) -> Result<Launch, Invalid> {
    let room = wire.resources.map(Resources::try_from).transpose()?;
    Ok(Launch {
        // Every attempt takes one slot.
        room: room.map(|room| Resources { slots: 1, ..room }),
        begin: if wire.ahead { Begin::Ahead } else { Begin::AtOnce },
        attempt: wire.attempt.unwrap_or_default().try_into()?,
        command: wire.command,
        env: wire.env,
        working_dir: wire.working_dir.map(PathBuf::from),
        stdin: wire.stdin,
        on_disconnect: if wire.requeue_on_disconnect {
            OnDisconnect::Requeue
        } else {
            OnDisconnect::Keep
        },
    })
}

fn refuse(refusal: &LeaderRefusal) -> Status {
    let mut status = Status::failed_precondition(refusal.to_string());
    match refusal {
        LeaderRefusal::OlderTerm { seen, .. } => {
            status.metadata_mut().insert(TERM_SEEN, MetadataValue::from(seen.0));
            status
        }
        LeaderRefusal::OtherCluster { .. } => status,
        LeaderRefusal::Unconfirmed { .. } => Status::deadline_exceeded(refusal.to_string()),
        LeaderRefusal::NotStored(cause) => {
            error!(error = %cause, "cannot store term");
            Status::internal(refusal.to_string())
        }
    }
}

fn decline(refusal: &AssignRefusal) -> Status {
    match refusal {
        AssignRefusal::NoSession | AssignRefusal::Closing => {
            Status::unavailable(refusal.to_string())
        }
        AssignRefusal::OtherEpoch { .. } => Status::failed_precondition(refusal.to_string()),
        AssignRefusal::SpoolFull => Status::resource_exhausted(refusal.to_string()),
    }
}
