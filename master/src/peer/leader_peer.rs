//! Passes calls on to the leader: one hop, over a connection that stays open.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{MasterId, TaskId, WorkerId};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use proto::call_failure::CallFailure;
use proto::consistency::Consistency;
use proto::deadline::{self, timed};
use proto::limits::MESSAGE_BYTES_MAX;
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;
use proto::v1::cluster_service_client::ClusterServiceClient;
use proto::v1::master_service_client::MasterServiceClient;
use proto::v1::registry_service_client::RegistryServiceClient;
use proto::v1::task_service_client::TaskServiceClient;
use raft_store::{Force, Leadership, MemberOrder, Node};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::forwarded;
use super::hops::{check_first_hop, mark_as_forwarded};
use crate::ids;
use crate::leader::state::Target;
use crate::membership_order::MembershipOrder;
use crate::task_query::TaskQuery;

/// Longest time of a call: longer than the leader itself waits for a commit.
const TIMEOUT: Duration = Duration::from_secs(12);
/// Longest change of the membership: the leader may wait for another change, and hand over.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(18);

/// Client of the leader, where another master leads. Clones share the connection.
#[derive(Clone, Debug)]
pub(crate) struct LeaderPeer {
    node: Node,
    open: Arc<Mutex<Option<(String, Channel)>>>,
}

impl LeaderPeer {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, open: Arc::default() }
    }

    /// Returns one worker as the leader knows it.
    pub(crate) async fn worker(&self, id: &WorkerId) -> Result<forwarded::Worker, Problem> {
        let (worker_id, consistency) = (id.to_string(), Consistency::Linearizable.into());
        let request = v1::GetWorkerRequest { worker_id, consistency };
        let mut client = RegistryServiceClient::new(self.channel()?);
        answer(client.get(forwarding(request))).await
    }

    /// Returns one task as the leader knows it.
    pub(crate) async fn task(&self, id: TaskId) -> Result<forwarded::Task, Problem> {
        let (task_id, consistency) = (id.to_string(), Consistency::Linearizable.into());
        let request = v1::GetTaskRequest { task_id, consistency };
        let mut client = TaskServiceClient::new(self.channel()?);
        answer(client.get(forwarding(request))).await
    }

    /// Returns one page of tasks as the leader knows them.
    pub(crate) async fn tasks(&self, query: &TaskQuery) -> Result<forwarded::TaskPage, Problem> {
        let request = v1::ListTasksRequest::from(query);
        let client = TaskServiceClient::new(self.channel()?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        answer(client.list(forwarding(request))).await
    }

    /// Returns one page of workers as the leader knows them, and where the next one begins.
    pub(crate) async fn workers(
        &self,
        limit: usize,
        after: Option<&WorkerId>,
    ) -> Result<(Vec<forwarded::Worker>, Option<WorkerId>), Problem> {
        let request = v1::ListWorkersRequest {
            consistency: Consistency::Linearizable.into(),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            cursor: after.map(ToString::to_string),
        };
        let client = RegistryServiceClient::new(self.channel()?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let page = answer(client.list(forwarding(request))).await?;
        Ok((page.workers, ids::cursor(page.next_cursor.as_deref())?))
    }

    /// Returns the usage that a worker has reported to the leader.
    pub(crate) async fn usage(&self, id: &WorkerId) -> Result<forwarded::WorkerMetrics, Problem> {
        let request = v1::WorkerUsageRequest { worker_id: id.to_string() };
        let mut client = RegistryServiceClient::new(self.channel()?);
        answer(client.usage(forwarding(request))).await
    }

    /// Streams the usage that all workers report, until the leader is lost.
    pub(crate) async fn watch_usage(&self) -> Result<BoxStream<'static, v1::UsageSample>, Problem> {
        let mut client = RegistryServiceClient::new(self.channel()?);
        let mut request = Request::new(v1::WatchUsageRequest {});
        // Without a deadline: the stream lasts as long as it is wanted.
        mark_as_forwarded(&mut request);
        let samples = answer(client.watch_usage(request)).await?;
        let next = async |mut samples: tonic::Streaming<v1::UsageSample>| {
            let sample = samples.message().await.ok().flatten()?;
            Some((sample, samples))
        };
        Ok(stream::unfold(samples, next).boxed())
    }

    /// Has the leader contact workers at once. Contacts take their time, so the call lasts as long as
    /// the leader leads, and no longer than `patience`.
    pub(crate) async fn reconnect(
        &self,
        target: &Target,
        patience: Duration,
    ) -> Result<forwarded::ReconnectResponse, Problem> {
        let worker_id = match target {
            Target::One(id) => id.to_string(),
            Target::AllInactive => String::new(),
        };
        let mut leadership = self.node.leadership();
        let asked = *leadership.borrow_and_update();
        let client = RegistryServiceClient::new(self.channel()?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = forwarding(v1::ReconnectRequest { worker_id });
        request.set_timeout(patience);
        let answered = deadline::within("the leader", patience, client.reconnect(request));
        tokio::select! {
            answered = answered => answered.map_err(|status| Problem::from(&status)),
            _ = leadership.wait_for(|now| *now != asked) => {
                Err(Problem::new(ErrorKind::NoLeader, "the leader changed before it had answered"))
            }
        }
    }

    /// Passes on the call of a worker.
    pub(crate) async fn register_worker(
        &self,
        request: Request<v1::RegisterWorkerRequest>,
    ) -> Result<v1::RegisterWorkerResponse, Problem> {
        let mut client = self.sessions(&request)?;
        answer(client.register_worker(forwarding(request.into_inner()))).await
    }

    /// Passes on the call of a worker.
    pub(crate) async fn send_heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<v1::HeartbeatResponse, Problem> {
        let mut client = self.sessions(&request)?;
        answer(client.send_heartbeat(forwarding(request.into_inner()))).await
    }

    /// Passes on the heartbeats of many workers.
    pub(crate) async fn relay_heartbeats(
        &self,
        heartbeats: Vec<v1::HeartbeatRequest>,
    ) -> Result<v1::RelayHeartbeatsResponse, Problem> {
        let request = Request::new(v1::RelayHeartbeatsRequest { heartbeats });
        let mut client = self.sessions(&request)?;
        let answered = within(client.relay_heartbeats(forwarding(request.into_inner()))).await;
        answered.map_err(|status| match CallFailure::of(&status) {
            // A leader that dies with a call under way is no leader any more.
            CallFailure::NeverConnected | CallFailure::Broken => {
                Problem::new(ErrorKind::NoLeader, status.message())
            }
            CallFailure::TimedOut | CallFailure::Refused => Problem::from(&status),
        })
    }

    /// Passes on the call of a worker.
    pub(crate) async fn report_task_completion(
        &self,
        request: Request<v1::ReportTaskCompletionRequest>,
    ) -> Result<v1::ReportTaskCompletionResponse, Problem> {
        let mut client = self.sessions(&request)?;
        answer(client.report_task_completion(forwarding(request.into_inner()))).await
    }

    /// Passes on the call of an operator.
    pub(crate) async fn transfer_leader(
        &self,
        to: Option<MasterId>,
    ) -> Result<forwarded::LeaderStatus, Problem> {
        let request = v1::TransferLeaderRequest { to: to.map_or(0, |to| to.0) };
        let mut client = ClusterServiceClient::new(self.channel()?);
        answer(client.transfer_leader(forwarding(request))).await
    }

    /// Returns the members as the leader sees them.
    pub(crate) async fn members(&self) -> Result<forwarded::MemberList, Problem> {
        let mut client = ClusterServiceClient::new(self.channel()?);
        answer(client.list_members(forwarding(v1::ListMembersRequest {}))).await
    }

    /// Has the leader change the membership.
    pub(crate) async fn change_members(
        &self,
        order: &MembershipOrder,
    ) -> Result<forwarded::MemberChanged, Problem> {
        let mut client = ClusterServiceClient::new(self.channel()?);
        let (order, force) = match order {
            MembershipOrder::Add { name, address } => {
                let (name, address) = (name.to_string(), address.clone());
                let request = v1::AddMemberRequest { name, address };
                return changed(client.add_member(changing(request))).await;
            }
            MembershipOrder::Change { order, force } => (order, *force == Force::Yes),
        };
        match order {
            MemberOrder::Promote(name) => {
                let request = v1::PromoteMemberRequest { name: name.to_string() };
                changed(client.promote_member(changing(request))).await
            }
            MemberOrder::Replace { old, new } => {
                let (old, new) = (old.to_string(), new.to_string());
                let request = v1::ReplaceMemberRequest { old, new };
                changed(client.replace_member(changing(request))).await
            }
            MemberOrder::Remove(name) => {
                let request = v1::RemoveMemberRequest { name: name.to_string(), force };
                changed(client.remove_member(changing(request))).await
            }
        }
    }

    fn sessions<T>(&self, request: &Request<T>) -> Result<MasterServiceClient<Channel>, Problem> {
        check_first_hop(request)?;
        let client = MasterServiceClient::new(self.channel()?);
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(client.max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Returns the connection to the current leader.
    fn channel(&self) -> Result<Channel, Problem> {
        let leadership = *self.node.leadership().borrow();
        let address = match leadership {
            Leadership::Following { node, .. } => self.node.member_address(node),
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => None,
        };
        let Some(address) = address else {
            return Err(Problem::new(ErrorKind::NoLeader, "the cluster has no leader"));
        };
        let mut open = self.open.lock();
        if let Some((known, channel)) = open.as_ref()
            && *known == address
        {
            return Ok(channel.clone());
        }
        let channel = self
            .node
            .dialer()
            .connect_lazily(&address)
            .map_err(|error| Problem::new(ErrorKind::Internal, error.to_string()))?;
        *open = Some((address, channel.clone()));
        Ok(channel)
    }
}

fn forwarding<T>(message: T) -> Request<T> {
    let mut request = timed(message, TIMEOUT);
    mark_as_forwarded(&mut request);
    request
}

/// Prepares a change of the membership, which takes longer than other calls.
fn changing<T>(message: T) -> Request<T> {
    let mut request = timed(message, CHANGE_TIMEOUT);
    mark_as_forwarded(&mut request);
    request
}

async fn changed<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Problem> {
    let changed = deadline::within("the leader", CHANGE_TIMEOUT, call).await;
    changed.map_err(|status| {
        let outcome = match CallFailure::of(&status) {
            CallFailure::NeverConnected => Outcome::Rejected,
            CallFailure::Broken => Outcome::Unknown,
            CallFailure::TimedOut | CallFailure::Refused => return Problem::from(&status),
        };
        // A leader that dies with a call under way is no leader any more.
        Problem::new(ErrorKind::NoLeader, "the leader was lost").with_outcome(outcome)
    })
}

async fn within<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    deadline::within("the leader", TIMEOUT, call).await
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Problem> {
    within(call).await.map_err(|status| Problem::from(&status))
}
