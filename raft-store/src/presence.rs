//! Asks whether a cluster is alive that a recovery or a restoration would end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::time::Duration;

use cluster_state::{ClusterId, Generation, MasterId};
use futures_util::future::join_all;
use proto::channel::Dialer;
use proto::v1;
use tokio::time::{Instant, timeout_at};

use crate::inspection::Content;
use crate::log_node::NodeId;
use crate::membership::Member;
use crate::network;
use crate::network::generation;
use crate::network::identity::PeerIdentity;

/// Time for all answers: a master that is there answers at once.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// A master of the cluster that answers at the address of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentMember {
    /// Name of the member.
    pub name: MasterId,
    pub address: String,
    /// Log of the member.
    pub node: NodeId,
    pub account: Account,
}

/// Account that a master gives of its part in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// It belongs to the generation of the directory.
    Member {
        /// Its own name.
        name: MasterId,
        /// Newest term that it has seen.
        term: u64,
        /// Leader of that term, if it knows one.
        leader: Option<MasterId>,
    },
    /// It belongs to another generation.
    Other(Generation),
    /// It belongs to the cluster, and says no more.
    Untold,
    /// It tells nothing to whoever shows no master's certificate.
    Refused,
}

/// Masters of the cluster answer, and would find out that it has begun another life without them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cluster is alive, and its masters would end: {}", list(.0))]
pub struct StillAlive(pub Vec<PresentMember>);

/// Cluster that is looked for.
#[derive(Debug)]
struct Wanted<'a> {
    /// Log that asks.
    node: NodeId,
    /// Id, where it is known; its configured name otherwise.
    cluster: Result<ClusterId, &'a str>,
    /// Generation of whoever asks.
    generation: Generation,
    dialer: &'a Dialer,
}

/// Asks all members that a directory names, and waits for two seconds at most. Blocks.
///
/// # Errors
///
/// If nobody can be asked.
pub fn present_members(content: &Content, dialer: &Dialer) -> io::Result<Vec<PresentMember>> {
    let Some(cluster) = content.cluster else { return Ok(Vec::new()) };
    let (last, committed) = (&content.last_members.members, &content.committed_members.members);
    let is_new = |member: &&Member| !last.iter().any(|known| known.node == member.node);
    let members = last.iter().chain(committed.iter().filter(is_new));
    let members = members.map(|member| (member.name, member.node, &*member.address));
    let (node, generation) = (content.identity.node, content.generation);
    ask_all(&Wanted { node, cluster: Ok(cluster), generation, dialer }, members)
}

/// Asks the masters at these addresses, and waits for two seconds at most; returns those that belong to
/// a cluster of that name. Blocks.
///
/// # Errors
///
/// If nobody can be asked.
pub fn present_at(
    cluster_name: &str,
    members: &BTreeMap<MasterId, String>,
    dialer: &Dialer,
) -> io::Result<Vec<PresentMember>> {
    let members = members.iter().map(|(name, address)| (*name, NodeId(name.0), &**address));
    let (node, generation) = (NodeId::draw(), Generation::default());
    ask_all(&Wanted { node, cluster: Err(cluster_name), generation, dialer }, members)
}

fn ask_all<'a>(
    wanted: &Wanted<'_>,
    members: impl Iterator<Item = (MasterId, NodeId, &'a str)>,
) -> io::Result<Vec<PresentMember>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let present = runtime.block_on(async {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        let asked = members.map(|(name, node, address)| async move {
            let account = wanted.ask(address, deadline).await?;
            Some(PresentMember { name, address: address.to_owned(), node, account })
        });
        join_all(asked).await
    });
    Ok(present.into_iter().flatten().collect())
}

impl Wanted<'_> {
    /// Returns the account of whoever answers, if that is a master of the cluster.
    async fn ask(&self, address: &str, deadline: Instant) -> Option<Account> {
        let mut client = network::client(self.dialer.connect_lazily(address).ok()?);
        let answer = client.introduce(v1::IntroduceRequest::default());
        let who = match timeout_at(deadline, answer).await.ok()? {
            Ok(who) => who.into_inner(),
            Err(refusal) => return network::is_disbelief(&refusal).then_some(Account::Refused),
        };
        let theirs = who.cluster_id.as_deref().and_then(|id| id.parse::<ClusterId>().ok())?;
        let is_it = match self.cluster {
            Ok(cluster) => theirs == cluster,
            Err(name) => who.cluster_name == name,
        };
        if !is_it || who.standing() != v1::Standing::Member {
            return None;
        }

        // Its log may be another one than the asker knows.
        let node = NodeId(who.master.map_or(who.node_id, |master| master.node));
        let identity = PeerIdentity::new(self.node, &who.cluster_name, Some(theirs));
        identity.generation().learn(self.generation);
        let question = identity.sign(v1::NodeStatusRequest::default(), node);
        let Ok(answer) = timeout_at(deadline, client.node_status(question)).await else {
            return Some(Account::Untold);
        };
        Some(match answer {
            Ok(status) => {
                let status = status.into_inner();
                let (name, leader) = (MasterId(status.node_id), status.leader_id.map(MasterId));
                Account::Member { name, term: status.term, leader }
            }
            Err(refusal) => {
                generation::of_refusal(&refusal).map_or(Account::Untold, Account::Other)
            }
        })
    }
}

/// Checks that a restoration which begins a generation ends nobody: whoever is present belongs to it.
///
/// # Errors
///
/// With everybody who has answered.
pub(crate) fn check_is_of(
    beginning: Generation,
    present: &[PresentMember],
) -> Result<(), StillAlive> {
    let is_of = |member: &PresentMember| match member.account {
        Account::Member { .. } | Account::Untold => beginning == Generation::default(),
        Account::Other(theirs) => theirs == beginning,
        Account::Refused => false,
    };
    if present.iter().all(is_of) { Ok(()) } else { Err(StillAlive(present.to_vec())) }
}

/// Checks that a recovery would end nobody: no quorum of the recorded voters takes part, none has
/// elected a leader since the directory was left, and the cluster has not begun another life.
///
/// # Errors
///
/// With everybody who has answered.
pub fn check_is_gone(content: &Content, present: &[PresentMember]) -> Result<(), StillAlive> {
    let vote = content.vote.map_or(0, |vote| vote.leader_id.term);
    let newest = content.last.map_or(0, |last| last.leader_id.term).max(vote);
    let has_gone_on = |member: &PresentMember| match member.account {
        Account::Member { term, leader, .. } => leader.is_some() && term > newest,
        Account::Other(theirs) => theirs.number >= content.generation.number,
        Account::Untold | Account::Refused => false,
    };
    let takes_part = |member: &&PresentMember| match member.account {
        Account::Member { .. } | Account::Untold | Account::Refused => true,
        Account::Other(_) => false,
    };
    let nodes =
        present.iter().filter(takes_part).map(|member| member.node).collect::<BTreeSet<_>>();
    let are_quorum = content.last_members.have_majority(&nodes)
        || content.committed_members.have_majority(&nodes);
    if are_quorum || present.iter().any(has_gone_on) {
        return Err(StillAlive(present.to_vec()));
    }
    Ok(())
}

fn list(present: &[PresentMember]) -> String {
    present.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for PresentMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, account, .. } = self;
        write!(f, "master {name} at {address} ")?;
        match account {
            Account::Member { name, term, leader: Some(leader) } if name == leader => {
                write!(f, "leads in term {term}")
            }
            Account::Member { term, leader: Some(leader), .. } => {
                write!(f, "follows master {leader} in term {term}")
            }
            Account::Member { term, leader: None, .. } => {
                write!(f, "has no leader in term {term}")
            }
            Account::Other(Generation { number, id }) => {
                write!(f, "belongs to generation {number} ({id:016x})")
            }
            Account::Untold => write!(f, "answers"),
            Account::Refused => {
                write!(f, "says who it is to nobody without a master's certificate")
            }
        }
    }
}
