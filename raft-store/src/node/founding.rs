//! Brings a master without data into a cluster: together with the other first members it founds
//! one, or it joins the one that there is.
//!
//! A cluster is founded only when every first member has answered that it has no data, that it was
//! given the same first members, and that its cluster has the same name. A quorum of answers would
//! not do: when two of three masters have lost their disks, those two must not start over while the
//! third has every acknowledged write.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{Generation, MasterId};
use futures_util::future::join_all;
use openraft::errors::{InitializeError, RaftError};
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tokio::time::Instant;
use tonic::Request;
use tonic::transport::Channel;

pub(crate) use self::first_members::FirstMembers;
use self::joining::Joining;
pub(crate) use self::verdict::record_of;
use self::verdict::{Asked, Finding, Us, Verdict, judge};
use super::Node;
use crate::error::StartError;
use crate::log_node::{MasterNode, NodeId};
use crate::rarely::Rarely;

mod first_members;
mod joining;
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

/// Founds a cluster, joins one, or waits until one of both is possible.
pub(crate) struct Founding {
    node: Node,
    others: Vec<Other>,
}

/// Connection to a master that may belong to the cluster, or found it.
struct Other {
    asked: Asked,
    client: RaftServiceClient<Channel>,
    /// True if a leader has told this master to ask there.
    is_invitation: bool,
}

impl Founding {
    /// Prepares to ask the other first members, or those through which to join.
    ///
    /// # Errors
    ///
    /// If an address cannot be used.
    pub(crate) fn new(node: Node) -> Result<Self, StartError> {
        let config = node.config();
        let first = config.initial_cluster.iter().filter(|(name, _)| **name != config.id);
        let first = first.map(|(name, at)| (Asked::First(*name), at));
        let entrances = config.join.iter().map(|at| (Asked::Entrance(at.clone()), at));
        let connected = first.chain(entrances).map(|(asked, address)| {
            let channel = node.identity().connect(address)?;
            Ok(Other { asked, client: crate::network::client(channel), is_invitation: false })
        });
        let others = connected.collect::<Result<Vec<_>, StartError>>()?;
        Ok(Self { node, others })
    }

    /// Returns once this master belongs to a cluster, or stops.
    ///
    /// # Errors
    ///
    /// When replication has failed.
    pub(crate) async fn run(mut self) -> Result<(), StartError> {
        let mut invitation = self.node.invitation();
        let started_at = Instant::now();
        let rarely = Rarely::default();

        // A leader that sends this master its log makes it a member, too.
        while !self.belongs_to_a_cluster().await? {
            let invited_by = invitation.borrow_and_update().clone();
            self.accept(invited_by);
            let findings = self.ask().await;
            let is_early = started_at.elapsed() < START_PATIENCE;
            let config = self.node.config();
            let found_by = (!config.initial_cluster.is_empty()).then_some(config.id);
            match Verdict::of(found_by, &findings) {
                Verdict::Found(members) => return self.found(members).await,
                Verdict::Join(generation) => {
                    self.try_to_join(&findings, generation, &rarely).await;
                }
                Verdict::LeaveIt => {
                    if !is_early && rarely.is_due("begun") {
                        tracing::info!("waiting for the master that founds the cluster");
                    }
                }
                Verdict::Alone => {
                    if !is_early && rarely.is_due("alone") {
                        tracing::info!("waiting for a leader that adds this master to its cluster");
                    }
                }
                Verdict::Wait { why, advice } => {
                    if !is_early && rarely.is_due(&why) {
                        tracing::warn!(why, advice, "this master belongs to no cluster yet");
                    }
                }
            }
            let pause = if is_early { SOON } else { LATER };
            tokio::select! {
                () = self.node.stopped() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
                // Cannot fail: the node holds the sender.
                _ = invitation.changed() => {}
            }
        }
        Ok(())
    }

    async fn try_to_join(
        &self,
        findings: &BTreeMap<Asked, Finding>,
        generation: Option<Generation>,
        rarely: &Rarely,
    ) {
        let Err(reason) = self.join(findings, generation).await else { return };
        if rarely.is_due(&reason) {
            let advice = "start all masters that have data; if most of them have lost theirs, nothing is \
                          founded beside what is left";
            tracing::warn!(reason, advice, "this master cannot join the cluster yet");
        }
    }

    /// Asks the leader that has invited this master last, too.
    fn accept(&mut self, invited_by: Option<String>) {
        let Some(address) = invited_by else { return };
        self.others.retain(|other| {
            !other.is_invitation || other.asked == Asked::Entrance(address.clone())
        });
        let asked = Asked::Entrance(address.clone());
        let is_known = self.others.iter().any(|other| other.asked == asked);
        if !is_known && let Ok(channel) = self.node.identity().connect(&address) {
            let client = crate::network::client(channel);
            self.others.push(Other { asked, client, is_invitation: true });
        }
    }

    async fn belongs_to_a_cluster(&self) -> Result<bool, StartError> {
        let is_initialized = self.node.raft().is_initialized().await;
        is_initialized.map_err(|error| StartError::Raft(error.to_string()))
    }

    async fn ask(&self) -> BTreeMap<Asked, Finding> {
        let config = self.node.config();
        let us = Us { name: &config.cluster_name, initial_cluster: &config.initial_cluster };
        let asked = self.others.iter().map(|other| async {
            let mut client = other.client.clone();
            let question = v1::IntroduceRequest {
                caller: Some(self.node.description()),
                cluster_name: config.cluster_name.clone(),
                join_through: None,
            };
            let answer = client.introduce(Request::new(question));
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
            let answer = answer.ok().and_then(Result::ok).map(tonic::Response::into_inner);
            let finding = judge(&us, &other.asked, answer);
            if let (Asked::First(name), Some(node)) = (&other.asked, finding.node()) {
                self.node.first_members().learn(*name, node);
            }
            // An invitation from nowhere keeps nobody from founding.
            let counts = !other.is_invitation || !matches!(finding, Finding::Silent);
            counts.then(|| (other.asked.clone(), finding))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn found(
        &self,
        others: BTreeMap<MasterId, (NodeId, MasterNode)>,
    ) -> Result<(), StartError> {
        let me = (self.node.node_id(), self.node.own_record());
        let members = others.into_values().chain([me]).collect::<BTreeMap<_, _>>();
        tracing::info!(members = members.len(), "founding the cluster");
        match self.node.raft().initialize(members).await {
            // Another master has asked for this one's vote or sent it entries in the meantime.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(StartError::Raft(error.to_string())),
        }
    }

    /// Asks those that belong to that generation of a cluster to admit this master.
    async fn join(
        &self,
        findings: &BTreeMap<Asked, Finding>,
        wanted: Option<Generation>,
    ) -> Result<(), String> {
        let belongs = |finding: &Finding| matches!(finding, Finding::Member { generation, .. } if *generation == wanted);
        let members =
            self.others.iter().filter(|other| findings.get(&other.asked).is_some_and(belongs));
        let mut refused = "no member of the cluster answers".to_owned();
        for member in members {
            match (Joining { node: &self.node, through: member.client.clone() }).run().await {
                Ok(()) => return Ok(()),
                Err(refusal) => refused = refusal,
            }
        }
        Err(refused)
    }
}
