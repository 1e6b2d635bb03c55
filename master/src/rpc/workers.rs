//! Calls of workers to the leader, through any master.

use std::net::{IpAddr, SocketAddr};

use proto::address::{is_loopback, is_unspecified, reachable_at};
use proto::convert::{Breach, Invalid};
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;
use proto::v1::master_service_server::MasterService;
use tonic::{Request, Response, Status};

use super::{refusal, reply_unmarked};
use crate::access::{Caller, Origin, Principal};
use crate::operations::Operations;
use crate::peer::{HeartbeatRelay, relayed_response};
use crate::refusal::of_session;

#[derive(Clone, Debug)]
pub(super) struct WorkerEndpoint {
    pub(super) operations: Operations,
    pub(super) heartbeats: HeartbeatRelay,
}

impl WorkerEndpoint {
    /// Returns true if workers' calls are answered here. In a term whose lease is lost for a
    /// moment, they wait for it.
    fn leads(&self) -> bool {
        self.operations.is_leading() || self.operations.sessions().leading().is_ok()
    }
}

#[tonic::async_trait]
impl MasterService for WorkerEndpoint {
    async fn register_worker(
        &self,
        mut request: Request<v1::RegisterWorkerRequest>,
    ) -> Result<Response<v1::RegisterWorkerResponse>, Status> {
        let operations = &self.operations;
        check_name(operations, &request, &request.get_ref().worker_id)?;
        // Only the master that the worker called sees where the call comes from.
        let peer = Peer::of(&request, operations);
        let message = request.get_mut();
        match peer.reachable_address(std::mem::take(&mut message.address)) {
            Ok(address) => message.address = address,
            Err(invalid) => return Err(refusal(operations, Problem::from(invalid))),
        }
        let answered = match self.leads() {
            true => operations
                .sessions()
                .register(request.into_inner())
                .await
                .map_err(|error| of_session(&error)),
            false => operations.leader_peer().register_worker(request).await,
        };
        reply_unmarked(operations, answered)
    }

    async fn send_heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let operations = &self.operations;
        check_name(operations, &request, &request.get_ref().worker_id)?;
        let answered = match self.leads() {
            true => operations
                .sessions()
                .heartbeat(request.into_inner())
                .await
                .map_err(|error| of_session(&error)),
            false if request.get_ref().goodbye => {
                operations.leader_peer().send_heartbeat(request).await
            }
            false => self.heartbeats.send(request.into_inner()).await,
        };
        let trust_version = operations.trust_version();
        let answered = answered.map(|answer| v1::HeartbeatResponse { trust_version, ..answer });
        reply_unmarked(operations, answered)
    }

    async fn relay_heartbeats(
        &self,
        request: Request<v1::RelayHeartbeatsRequest>,
    ) -> Result<Response<v1::RelayHeartbeatsResponse>, Status> {
        let operations = &self.operations;
        let relayed = operations.sessions().relayed(&request.get_ref().heartbeats).await;
        reply_unmarked(
            operations,
            relayed.map(relayed_response).map_err(|error| of_session(&error)),
        )
    }

    async fn report_task_completion(
        &self,
        request: Request<v1::ReportTaskCompletionRequest>,
    ) -> Result<Response<v1::ReportTaskCompletionResponse>, Status> {
        let operations = &self.operations;
        check_name(operations, &request, &request.get_ref().worker_id)?;
        let answered = match self.leads() {
            true => operations
                .sessions()
                .report(request.into_inner())
                .await
                .map_err(|error| of_session(&error)),
            false => operations.leader_peer().report_task_completion(request).await,
        };
        reply_unmarked(operations, answered)
    }
}

/// Refuses a worker that calls in the name of another. A master passes on the calls of all.
fn check_name<T>(
    operations: &Operations,
    request: &Request<T>,
    worker: &str,
) -> Result<(), Status> {
    let caller = request.extensions().get::<Caller>();
    let Some(Principal::Worker(own)) = caller.map(Caller::principal) else { return Ok(()) };
    if own.as_str() == worker {
        return Ok(());
    }
    let detail = format!("worker:{own} may not act for worker '{worker}'");
    let problem = Problem::new(ErrorKind::Forbidden, detail).with_outcome(Outcome::Rejected);
    Err(refusal(operations, problem))
}

/// The origin of a worker's call, and the host of the master that was called.
#[derive(Debug, Clone)]
struct Peer {
    ip: Option<IpAddr>,
    /// True if it is on this machine.
    is_local: bool,
    /// Host of this master, where a master on another machine may call.
    own_host: Option<String>,
}

impl Peer {
    fn of<T>(request: &Request<T>, operations: &Operations) -> Self {
        let origin = request.extensions().get::<Origin>();
        let ip = |address: Option<SocketAddr>| address.map(|address| address.ip());
        let remote = origin.and_then(|origin| ip(origin.remote));
        let local = origin.and_then(|origin| ip(origin.local));
        Self { own_host: operations.host_for_others(), ..Self::seen(remote, local) }
    }

    /// Returns the address of a caller: a process that calls this machine by an address of its
    /// network has that address, too.
    fn seen(ip: Option<IpAddr>, local: Option<IpAddr>) -> Self {
        let is_local = ip.is_none_or(|ip| ip.to_canonical().is_loopback() || Some(ip) == local);
        Self { ip, is_local, own_host: None }
    }

    /// Returns the address under which masters reach a worker that names this one: a worker that
    /// listens on all interfaces has the host from which it called.
    fn reachable_address(self, address: String) -> Result<String, Invalid> {
        if is_unspecified(&address) {
            let host = match (self.ip.map(|ip| ip.to_canonical()), self.own_host) {
                (Some(ip), Some(host)) if ip.is_loopback() => host,
                (Some(IpAddr::V4(ip)), _) => ip.to_string(),
                (Some(IpAddr::V6(ip)), _) => format!("[{ip}]"),
                (None, _) => return Ok(address),
            };
            return Ok(reachable_at(&address, &host));
        }
        let is_everybody_local = self.is_local && self.own_host.is_none();
        if is_loopback(&address) && !is_everybody_local {
            return Err(Invalid::malformed("/address", &Breach::Loopback { address }));
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::host_for_others;

    fn reachable_among(masters: &[&str], peer: &str, address: &str) -> Option<String> {
        let own = masters.first().copied().unwrap_or("10.0.0.1:50051");
        let peer = Peer {
            own_host: host_for_others(own, masters.iter().map(|&master| master.to_owned())),
            ..Peer::seen(peer.parse().ok(), "10.0.0.1".parse().ok())
        };
        peer.reachable_address(address.to_owned()).ok()
    }

    fn reachable(peer: &str, address: &str) -> Option<String> {
        reachable_among(&["10.0.0.1:50051"], peer, address)
    }

    #[test]
    fn a_worker_on_all_interfaces_is_reached_where_it_called_from() {
        let seen = |peer: &str, address: &str| reachable(peer, address).unwrap();
        assert_eq!(seen("10.0.0.5", "0.0.0.0:50052"), "10.0.0.5:50052");
        assert_eq!(seen("::1", "[::]:50052"), "[::1]:50052");
        assert_eq!(seen("10.0.0.5", ":50052"), "10.0.0.5:50052");
        assert_eq!(seen("10.0.0.5", "worker-1:50052"), "worker-1:50052");
        assert_eq!(seen("", "0.0.0.0:50052"), "0.0.0.0:50052");
    }

    #[test]
    fn an_address_of_the_workers_own_machine_is_refused_from_another_machine() {
        for address in ["127.0.0.1:50052", "localhost:50052", "[::1]:50052", "127.8.0.1:1"] {
            assert_eq!(reachable("10.0.0.5", address), None, "{address}");
            // On one machine it is all right, however the call came.
            for peer in ["127.0.0.1", "10.0.0.1"] {
                assert_eq!(reachable(peer, address).as_deref(), Some(address));
            }
        }
        assert!(reachable("10.0.0.5", "10.0.0.5:50052").is_some());
    }

    #[test]
    fn a_worker_beside_one_of_several_masters_is_reached_from_the_others_too() {
        let masters = ["node1:50051", "node2:50051"];
        let seen = |peer, address| reachable_among(&masters, peer, address);
        assert_eq!(seen("127.0.0.1", "127.0.0.1:50052"), None);
        assert_eq!(seen("127.0.0.1", "0.0.0.0:50052").as_deref(), Some("node1:50052"));
        assert_eq!(seen("10.0.0.5", "0.0.0.0:50052").as_deref(), Some("10.0.0.5:50052"));

        // All on one machine, whatever they call it.
        for masters in [["127.0.0.1:1", "localhost:2"], ["node1:1", "node1:2"]] {
            let seen = reachable_among(&masters, "127.0.0.1", "127.0.0.1:50052");
            assert_eq!(seen.as_deref(), Some("127.0.0.1:50052"));
        }
    }
}
