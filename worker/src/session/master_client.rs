//! Calls masters, in the worker's own terms; nothing else does.

use std::time::{Duration, SystemTime};

use cluster_state::{AddressSource, AttemptRef, ClusterId, Epoch, FinishedAttempt, MasterId, Term};
use credentials::Expected;
use proto::call_failure::CallFailure;
use proto::channel::{Dialer, InvalidAddress};
use proto::convert::{self, Invalid};
use proto::deadline::{self, timed};
use proto::limits::MESSAGE_BYTES_MAX;
use proto::problem::LEADER_ADDRESS_KEY;
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::Introduction;
use crate::attempts::Report;
use crate::devices::Offer;
use crate::join_token::JoinToken;
use crate::lease::Grant;
use crate::ledger::{Session, Snapshot};
use crate::specs::Usage;

/// Timeout of a registration: a follower may hold it until there is a leader.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(8);
pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest heartbeat interval: a shorter one could only be a mistake.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A connection to one master.
#[derive(Debug, Clone)]
pub(super) struct MasterClient {
    address: String,
    inner: MasterServiceClient<Channel>,
}

/// The leader's answer to a registration.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) cluster: ClusterId,
    pub(super) session: Session,
    pub(super) leader_address: String,
    pub(super) masters: Vec<String>,
    /// Followers that pass heartbeats on.
    pub(super) relays: Vec<String>,
    pub(super) heartbeat_interval: Duration,
    pub(super) grant: Grant,
    pub(super) unwanted: Vec<AttemptRef>,
    pub(super) confirmed: Vec<AttemptRef>,
    /// Devices with which the worker is registered.
    pub(super) offer: Offer,
}

/// The leader's answer to a heartbeat.
#[derive(Debug)]
pub(super) struct HeartbeatAnswer {
    pub(super) cluster: ClusterId,
    pub(super) leader: MasterId,
    pub(super) leader_address: String,
    pub(super) term: Term,
    pub(super) masters: Vec<String>,
    /// Followers that pass heartbeats on.
    pub(super) relays: Vec<String>,
    pub(super) verdict: HeartbeatVerdict,
}

/// The leader's verdict on a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeartbeatVerdict {
    Accepted,
    RegisterAgain,
}

/// Reason that a call to a master failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error("master is unreachable: {reason}")]
    Unreachable { reason: String, leader: Option<String> },
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    #[error("master refused: {reason}")]
    Refused { reason: String, leader: Option<String> },
    /// The leader rejects the worker: no operator has registered it, or one has unregistered it.
    #[error("not registered: {0}")]
    Unregistered(String),
    /// The leader rejects the join token: it is unknown, revoked or expired.
    #[error("not admitted: {0}")]
    NotAdmitted(String),
    /// The leader rejects the name: another worker has it.
    #[error("{0}")]
    NameInUse(String),
    #[error("malformed answer: {0}")]
    Malformed(#[from] Invalid),
    #[error("answer does not name the leader")]
    LeaderMissing,
}

impl CallError {
    /// Returns the leader that a follower named.
    pub(super) fn leader(&self) -> Option<&str> {
        match self {
            Self::Unreachable { leader, .. } | Self::Refused { leader, .. } => leader.as_deref(),
            Self::Address(_)
            | Self::TimedOut(_)
            | Self::Unregistered(_)
            | Self::NotAdmitted(_)
            | Self::NameInUse(_)
            | Self::Malformed(_)
            | Self::LeaderMissing => None,
        }
    }

    /// Returns true if the master is not there at all, rather than slow or unwilling.
    pub(super) const fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Address(_) => true,
            Self::TimedOut(_)
            | Self::Refused { .. }
            | Self::Unregistered(_)
            | Self::NotAdmitted(_)
            | Self::NameInUse(_)
            | Self::Malformed(_)
            | Self::LeaderMissing => false,
        }
    }
}

impl MasterClient {
    pub(super) fn new(dialer: &Dialer, address: &str) -> Result<Self, CallError> {
        let channel = dialer.connect_lazily_unprobed(address, Expected::Master)?;
        let inner = MasterServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { address: address.to_owned(), inner })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn register(
        &self,
        introduction: &Introduction,
        met: Option<ClusterId>,
        term_seen: Term,
        snapshot: Snapshot,
    ) -> Result<Registered, CallError> {
        let offer = introduction.offer.borrow().clone();
        let request = v1::RegisterWorkerRequest {
            cluster_id: met.map(|id| id.to_string()).unwrap_or_default(),
            worker_id: introduction.worker_id.to_string(),
            incarnation: introduction.incarnation.to_string(),
            address: introduction.address.clone(),
            specs: Some((&introduction.specs_with(&offer)).into()),
            running: snapshot.running.into_iter().map(Into::into).collect(),
            finished: reportable(snapshot.finished),
            term_seen: term_seen.0,
            sequence: introduction.next_sequence(),
            unfit: introduction.unfit(),
            join_token: introduction.join_token.as_ref().map(JoinToken::reveal).unwrap_or_default(),
            data_id: introduction.data.to_string(),
            start: introduction.start.0,
            address_is_advertised: introduction.address_source == AddressSource::Advertised,
        };

        let mut client = self.inner.clone();
        let call = client.register_worker(timed(request, REGISTER_TIMEOUT));
        let answer = within(REGISTER_TIMEOUT, call).await?;

        let leader = answer.leader.ok_or(CallError::LeaderMissing)?;
        let heartbeat_interval =
            Duration::from_millis(answer.heartbeat_interval_ms).max(HEARTBEAT_INTERVAL_MIN);
        let heartbeat_timeout = Duration::from_millis(answer.heartbeat_timeout_ms);

        Ok(Registered {
            cluster: convert::id("/leader/cluster_id", &leader.cluster_id)?,
            session: Session {
                epoch: Epoch(answer.epoch),
                leader: MasterId(leader.leader_id),
                term: Term(leader.term),
            },
            leader_address: leader.leader_address,
            masters: addresses(answer.masters),
            relays: answer.relays,
            heartbeat_interval,
            grant: Grant {
                disconnect: heartbeat_timeout.max(heartbeat_interval),
                lease: Duration::from_millis(answer.lease_ms),
            },
            unwanted: convert::attempt_refs(answer.kill)?,
            confirmed: convert::attempt_refs(answer.confirmed)?,
            offer,
        })
    }

    pub(super) async fn heartbeat(
        &self,
        introduction: &Introduction,
        registered: &Registered,
        usage: Usage,
        running: usize,
        patience: Duration,
    ) -> Result<HeartbeatAnswer, CallError> {
        let request = v1::HeartbeatRequest {
            usage: Some(v1::WorkerUsage {
                cpu_percent: usage.cpu,
                memory_percent: usage.memory,
                storage_percent: usage.storage,
                gpu_percent: 0.0,
            }),
            running_tasks: u32::try_from(running).unwrap_or(u32::MAX),
            ..heartbeat_request(introduction, registered)
        };

        let mut client = self.inner.clone();
        let call = client.send_heartbeat(timed(request, patience));
        let answer = within(patience, call).await?;
        let leader = answer.leader.ok_or(CallError::LeaderMissing)?;
        introduction.trust.on_told(answer.trust_version);

        Ok(HeartbeatAnswer {
            cluster: convert::id("/leader/cluster_id", &leader.cluster_id)?,
            leader: MasterId(leader.leader_id),
            leader_address: leader.leader_address,
            term: Term(leader.term),
            masters: addresses(answer.masters),
            relays: answer.relays,
            verdict: if answer.register_again {
                HeartbeatVerdict::RegisterAgain
            } else {
                HeartbeatVerdict::Accepted
            },
        })
    }

    /// Tells the leader that no attempt of this worker runs any more, and that no heartbeat
    /// follows.
    pub(super) async fn say_goodbye(
        &self,
        introduction: &Introduction,
        registered: &Registered,
        patience: Duration,
    ) -> Result<(), CallError> {
        let request =
            v1::HeartbeatRequest { goodbye: true, ..heartbeat_request(introduction, registered) };
        let mut client = self.inner.clone();
        let call = client.send_heartbeat(timed(request, patience));
        within(patience, call).await.map(drop)
    }

    /// Reports results and starts, and returns those that are settled.
    pub(super) async fn report(
        &self,
        introduction: &Introduction,
        registered: &Registered,
        report: Report,
    ) -> Result<Reported, CallError> {
        let request = v1::ReportTaskCompletionRequest {
            cluster_id: registered.cluster.to_string(),
            worker_id: introduction.worker_id.to_string(),
            epoch: registered.session.epoch.0,
            finished: reportable(report.results),
            started: report.started.into_iter().map(Into::into).collect(),
            wants_ahead: report.wants_ahead,
        };
        let mut client = self.inner.clone();
        let call = client.report_task_completion(timed(request, REPORT_TIMEOUT));
        let answer = within(REPORT_TIMEOUT, call).await?;
        let confirmed = convert::attempt_refs(answer.confirmed)?;
        let started = convert::attempt_refs(answer.started)?;
        Ok(Reported { confirmed, started })
    }
}

/// Answer to a report.
#[derive(Debug)]
pub(super) struct Reported {
    /// Results that are settled.
    pub(super) confirmed: Vec<AttemptRef>,
    /// Attempts whose starts are on record.
    pub(super) started: Vec<AttemptRef>,
}

fn heartbeat_request(introduction: &Introduction, registered: &Registered) -> v1::HeartbeatRequest {
    let trust_version = introduction.trust.applied();
    // It matters where the cluster issues certificates.
    let root = introduction.dialer.certificate_root().filter(|_| trust_version != 0);
    v1::HeartbeatRequest {
        cluster_id: registered.cluster.to_string(),
        worker_id: introduction.worker_id.to_string(),
        incarnation: introduction.incarnation.to_string(),
        epoch: registered.session.epoch.0,
        unfit: introduction.unfit(),
        certificate_not_after: introduction
            .dialer
            .certificate_not_after()
            .and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map(|end| end.as_secs()),
        trust_version,
        certificate_root: root.map(|root| root.to_vec()).unwrap_or_default().into(),
        ..v1::HeartbeatRequest::default()
    }
}

/// Converts results for a report. A worker knows of no loss that it could not report, so nothing is
/// left out.
fn reportable(results: Vec<FinishedAttempt>) -> Vec<v1::FinishedAttempt> {
    results.into_iter().filter_map(|result| result.try_into().ok()).collect()
}

fn addresses(masters: Vec<v1::MasterAddress>) -> Vec<String> {
    masters.into_iter().map(|master| master.address).collect()
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    deadline::within("the master", timeout, call).await.map_err(|status| failure(&status, timeout))
}

fn failure(status: &Status, timeout: Duration) -> CallError {
    let leader = status.metadata().get(LEADER_ADDRESS_KEY).and_then(|value| value.to_str().ok());
    let leader = leader.map(str::to_owned);
    let reason = status.message().to_owned();
    match CallFailure::of(status) {
        CallFailure::TimedOut => CallError::TimedOut(timeout),
        CallFailure::NeverConnected | CallFailure::Broken => {
            CallError::Unreachable { reason, leader }
        }
        CallFailure::Refused if status.code() == Code::NotFound => CallError::Unregistered(reason),
        CallFailure::Refused if status.code() == Code::PermissionDenied => {
            CallError::NotAdmitted(reason)
        }
        CallFailure::Refused if status.code() == Code::AlreadyExists => {
            CallError::NameInUse(reason)
        }
        CallFailure::Refused => CallError::Refused { reason, leader },
    }
}
