//! Exchanges the status of masters among them.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{Level, LogIndex, MasterId, Timestamp};
use futures_util::stream::{FuturesUnordered, StreamExt};
use proto::v1;
use tokio::time::Instant;

use super::Node;
use super::founding::record_of;
use crate::clock::survey::ClockSurvey;
use crate::leadership::Leadership;
use crate::log_node::{MasterNode, NodeId};
use crate::membership::{LocalStatus, Member};
use crate::propose::CommitObserver;
use crate::snapshot::SnapshotFailures;

/// A master's account of itself, as it sends it.
pub type PeerStatus = v1::NodeStatusResponse;

/// Status of each other member; none where it did not answer in time.
pub type PeerStatuses = BTreeMap<NodeId, Option<PeerStatus>>;

/// Limit of a peer's answer about its status.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Leases of the leader for which a member that has not answered still counts as present: a larger
/// number names a dead one for longer, a smaller one drops a slow one sooner.
const ANSWERED_WITHIN_LEASES: u32 = 3;

impl Node {
    /// Returns the bytes free on the disk of the data directory, if known.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.inner.stores.space.free_bytes()
    }

    /// Returns the number of snapshot failures since the start.
    #[must_use]
    pub fn snapshot_failures(&self) -> SnapshotFailures {
        self.inner.stores.inbox.failures()
    }

    /// Sets what this master tells of its configuration: the settings of the cluster that it gives
    /// otherwise.
    pub fn set_differing_settings(&self, paths: Vec<String>) {
        *self.inner.differing_settings.lock() = paths;
    }

    /// Reports the duration of each command of this master's to `observer`, those of duties
    /// included. The first observer stays.
    pub fn observe_commits(&self, observer: CommitObserver) {
        self.inner.proposer.observer.set(observer).ok();
    }

    /// Returns, for a leader, the other members that have recently answered it in this term.
    #[must_use]
    pub fn answering_members(&self) -> Vec<Member> {
        let lately = self.inner.patience.quorum * ANSWERED_WITHIN_LEASES;
        let from = Instant::now().checked_sub(lately);
        let leadership = *self.inner.leadership.borrow();
        let (Leadership::Leading { term }, Some(from)) = (leadership, from) else {
            return Vec::new();
        };
        let has_answered =
            |member: &Member| self.acks().has_answered_since(member.node, term.0, from);
        self.members().into_iter().filter(has_answered).collect()
    }

    /// Asks every other member for its status; none for those that do not answer in time.
    pub async fn peer_statuses(&self) -> PeerStatuses {
        self.ask_peers(STATUS_TIMEOUT).await.0
    }

    /// Returns the same, and the masters' wall clocks.
    pub async fn survey(&self) -> (PeerStatuses, ClockSurvey) {
        self.ask_peers(STATUS_TIMEOUT).await
    }

    /// Asks every other member. Once the clocks of a quorum are known, the others have only
    /// `stragglers` to answer.
    pub(super) async fn ask_peers(&self, stragglers: Duration) -> (PeerStatuses, ClockSurvey) {
        let members = self.members();
        let asked_at = Instant::now();
        let voters = members.iter().filter(|member| member.is_voter).map(|member| member.node);
        let mut clocks = ClockSurvey::new(asked_at, voters.collect());
        clocks.add(self.node_id(), self.clock().wall());

        let others = members.iter().filter(|member| member.node != self.node_id());
        let mut statuses =
            others.clone().map(|member| (member.node, None)).collect::<BTreeMap<_, _>>();
        let asked = others.map(|member| async { (member.node, self.ask_status(member).await) });
        let mut answers = asked.collect::<FuturesUnordered<_>>();
        let mut deadline = asked_at + STATUS_TIMEOUT;
        while let Ok(Some((id, answer))) = tokio::time::timeout_at(deadline, answers.next()).await {
            if let Some(status) = &answer {
                // The clock was read in the middle of the call, as far as can be known.
                let half_way = asked_at.elapsed() / 2;
                clocks.add(id, Timestamp(status.wall_clock_ms).before(half_way));
            }
            statuses.insert(id, answer);
            if clocks.median().is_some() {
                deadline = deadline.min(Instant::now() + stragglers);
            }
        }
        (statuses, clocks)
    }

    pub(super) async fn ask_status(&self, member: &Member) -> Option<v1::NodeStatusResponse> {
        let channel = self.inner.identity.connect(&member.address).ok()?;
        let mut client = crate::network::client(channel);
        let question = self.inner.identity.sign(v1::NodeStatusRequest::default(), member.node);
        let answer = tokio::time::timeout(STATUS_TIMEOUT, client.node_status(question)).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    /// Introduces this master, and says whether it has data, to one that may know nothing of the
    /// cluster.
    pub(crate) fn introduction(&self) -> v1::IntroduceResponse {
        let config = &self.inner.config;
        let has_log = self.log().last_log_id().is_some();
        let cluster = self.cluster_id();
        let standing = match (cluster, has_log) {
            (Some(_), _) => v1::Standing::Member,
            (None, true) => v1::Standing::Founding,
            (None, false) => v1::Standing::Blank,
        };
        let initial_cluster = config.initial_cluster.iter();
        let master = Some(self.description());
        v1::IntroduceResponse {
            node_id: config.id.0,
            cluster_name: config.cluster_name.clone(),
            cluster_id: cluster.map(|cluster| cluster.to_string()),
            standing: standing.into(),
            initial_cluster: initial_cluster.map(|(id, at)| (id.0, at.clone())).collect(),
            master,
            generation: self.inner.identity.generation().name(),
        }
    }

    /// Learns the log of another first member from its introduction, until a membership names it; or
    /// through whom to join.
    pub(crate) fn meet(&self, introduction: &v1::IntroduceRequest) {
        let config = &self.inner.config;
        if introduction.cluster_name == config.cluster_name && introduction.join_through.is_some() {
            self.inner.invitation.send_replace(introduction.join_through.clone());
        }
        let Some(caller) = &introduction.caller else { return };
        let name = MasterId(caller.name);
        let is_first = introduction.cluster_name == config.cluster_name
            && config.initial_cluster.contains_key(&name)
            && name != config.id;
        if is_first {
            self.inner.first_members.learn(name, NodeId(caller.node));
        }
    }

    /// Describes this master to others.
    pub(crate) fn description(&self) -> v1::MasterDescription {
        let config = &self.inner.config;
        v1::MasterDescription {
            node: self.node_id().0,
            name: config.id.0,
            address: config.grpc_address.clone(),
            http_address: config.http_address.clone(),
            zone: config.zone.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level_max: Level::NEWEST.0.into(),
        }
    }

    /// Returns the record of this master in a membership.
    pub(crate) fn own_record(&self) -> MasterNode {
        record_of(self.id(), &self.description())
    }

    /// Returns the status of this master as it would tell it to another.
    #[must_use]
    pub fn describe(&self, status: &LocalStatus) -> PeerStatus {
        PeerStatus {
            node_id: self.id().0,
            role: v1::MasterRole::from(status.role).into(),
            term: status.term.0,
            leader_id: status
                .leader
                .and_then(|leader| Some(self.inner.members.get(leader)?.name.0)),
            last_log_index: status.last_log.0,
            commit_index: status.committed.0,
            applied_index: status.applied.0,
            snapshot_index: status.snapshot.map(|LogIndex(index)| index),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_address: self.inner.config.http_address.clone(),
            free_bytes: self.free_bytes(),
            wall_clock_ms: self.clock().wall().0,
            level_max: Level::NEWEST.0.into(),
            state_digest: None,
            differing_settings: self.inner.differing_settings.lock().clone(),
            autopilot: self.autopilot_thought().map(|thought| thought.reason),
            disk_free_min: self.config().bounds.disk_free_min,
        }
    }
}
