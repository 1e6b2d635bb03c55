//! Founds a cluster: only when every first member has answered that it has no data, that it was
//! given the same first members, and that its cluster has the same name.
//!
//! A quorum of answers would not do: when two of three masters have lost their disks, those two
//! must not start over while the third has every acknowledged write.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::MasterId;
use futures_util::future::join_all;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::BasicNode;
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Channel;

use self::verdict::{Finding, Us, Verdict, judge};
use crate::error::StartError;
use crate::raft::Raft;
use crate::rarely::Rarely;

mod verdict;

/// Limit of a master's introduction.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// First pause between two rounds of questions: masters that are started together found at once.
const SOON: Duration = Duration::from_millis(50);
/// Later pause between two rounds.
const LATER: Duration = Duration::from_secs(1);
/// Time that masters which are started together have until all of them listen. Missing members are
/// not logged before.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Founds the cluster, or waits until another master has.
pub(crate) struct Founding {
    pub(crate) id: MasterId,
    pub(crate) cluster_name: String,
    /// First members, as configured on this master.
    pub(crate) initial_cluster: BTreeMap<MasterId, String>,
    pub(crate) raft: Raft,
    pub(crate) stop: CancellationToken,
}

/// Connection to another first member.
struct Other {
    id: MasterId,
    client: RaftServiceClient<Channel>,
}

impl Founding {
    /// Returns once this master belongs to a cluster, or stops.
    ///
    /// # Errors
    ///
    /// When replication has failed.
    pub(crate) async fn run(self) -> Result<(), StartError> {
        let us = Us { name: &self.cluster_name, initial_cluster: &self.initial_cluster };
        let others = self.others()?;
        let started_at = Instant::now();
        let rarely = Rarely::default();

        // A leader that sends this master its log makes it a member, too.
        while !self.belongs_to_a_cluster().await? {
            let findings = self.ask(&us, &others).await;
            let is_early = started_at.elapsed() < START_PATIENCE;
            match Verdict::of(self.id, &findings) {
                Verdict::Found => return self.found().await,
                Verdict::LeaveIt => {
                    if !is_early && rarely.is_due("begun") {
                        tracing::info!("waiting for the master that founds the cluster");
                    }
                }
                Verdict::Wait { why, advice } => {
                    if !is_early && rarely.is_due(&why) {
                        tracing::warn!(why, advice, "not founding a cluster yet");
                    }
                }
            }
            let pause = if is_early { SOON } else { LATER };
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    fn others(&self) -> Result<Vec<Other>, StartError> {
        let others = self.initial_cluster.iter().filter(|(id, _)| **id != self.id);
        let connected = others.map(|(id, address)| {
            let channel = proto::channel::connect_lazily(address)?;
            Ok(Other { id: *id, client: crate::network::client(channel) })
        });
        connected.collect()
    }

    async fn belongs_to_a_cluster(&self) -> Result<bool, StartError> {
        self.raft.is_initialized().await.map_err(|error| StartError::Raft(error.to_string()))
    }

    async fn ask(&self, us: &Us<'_>, others: &[Other]) -> BTreeMap<MasterId, Finding> {
        let asked = others.iter().map(|other| async {
            let mut client = other.client.clone();
            let answer = client.introduce(Request::new(v1::IntroduceRequest {}));
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
            let answer = answer.ok().and_then(Result::ok).map(tonic::Response::into_inner);
            (other.id, judge(us, other.id, answer))
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn found(&self) -> Result<(), StartError> {
        let members = self.initial_cluster.iter();
        let members = members.map(|(id, address)| (id.0, BasicNode::new(address)));
        tracing::info!(members = self.initial_cluster.len(), "founding the cluster");
        match self.raft.initialize(members.collect::<BTreeMap<_, _>>()).await {
            // Another master has asked for this one's vote or sent it entries in the meantime.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(StartError::Raft(error.to_string())),
        }
    }
}
