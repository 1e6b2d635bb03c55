//! Asks the masters that a directory's membership names whether their cluster is alive: a recovery
//! would end it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::time::Duration;

use cluster_state::{ClusterId, Generation, MasterId};
use futures_util::future::join_all;
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
}

/// Masters of the cluster answer that are a quorum, or that have gone on without the directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cluster is alive, and a recovery would end its masters: {}", list(.0))]
pub struct StillAlive(pub Vec<PresentMember>);

/// Asks all members that the directory names, and waits for two seconds at most. Blocks.
///
/// # Errors
///
/// If nobody can be asked.
pub fn present_members(content: &Content) -> io::Result<Vec<PresentMember>> {
    let Some(cluster) = content.cluster else { return Ok(Vec::new()) };
    let members = content.last_members.members.iter();
    let is_new = |member: &&Member| {
        !content.last_members.members.iter().any(|known| known.node == member.node)
    };
    let members = members.chain(content.committed_members.members.iter().filter(is_new));
    let deadline = Instant::now() + ANSWERS_WITHIN;
    let asked = members.map(|member| async move {
        let account = ask(content, cluster, &member.address, deadline).await?;
        let (name, address, node) = (member.name, member.address.clone(), member.node);
        Some(PresentMember { name, address, node, account })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(join_all(asked)).into_iter().flatten().collect())
}

/// Returns the account of whoever answers, if that is a master of the cluster.
async fn ask(
    content: &Content,
    cluster: ClusterId,
    address: &str,
    deadline: Instant,
) -> Option<Account> {
    let mut client = network::client(proto::channel::connect_lazily(address).ok()?);
    let answer = client.introduce(v1::IntroduceRequest::default());
    let who = timeout_at(deadline, answer).await.ok()?.ok()?.into_inner();
    let theirs = who.cluster_id.as_deref().and_then(|id| id.parse::<ClusterId>().ok());
    if who.standing() != v1::Standing::Member || theirs != Some(cluster) {
        return None;
    }

    // Its log may be another one than the directory knows.
    let node = NodeId(who.master.map_or(who.node_id, |master| master.node));
    let identity = PeerIdentity::new(content.identity.node, &who.cluster_name, Some(cluster));
    identity.generation().learn(content.generation);
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
        Err(refusal) => generation::of_refusal(&refusal).map_or(Account::Untold, Account::Other),
    })
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
        Account::Untold => false,
    };
    let takes_part = |member: &&PresentMember| match member.account {
        Account::Member { .. } | Account::Untold => true,
        Account::Other(_) => false,
    };
    let nodes = present.iter().filter(takes_part).map(|member| member.node).collect::<BTreeSet<_>>();
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
        }
    }
}
