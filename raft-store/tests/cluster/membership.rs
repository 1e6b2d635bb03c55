//! Masters come, go, move and lose their disks; nothing that was acknowledged is lost.

use std::time::Duration;

use cluster_state::{ClusterId, MasterId};
use raft_store::{Expulsion, Force, Leadership, MemberChange, MemberOrder, MembershipError, Node};

use crate::harness::{Cluster, PATIENCE, eventually, knows, register, throughout};

/// Several elections.
const LONG: Duration = Duration::from_secs(3);

fn voters(node: &Node) -> Vec<u64> {
    let mut voters = node.members();
    voters.retain(|member| member.is_voter);
    let mut names = voters.into_iter().map(|member| member.name.0).collect::<Vec<_>>();
    names.sort_unstable();
    names
}

async fn has_voters(cluster: &Cluster, expected: &[u64]) {
    eventually("the voters", || async {
        cluster.members.values().all(|member| voters(&member.node) == expected).then_some(())
    })
    .await;
}

async fn all_know(cluster: &Cluster, worker: &str) {
    for member in cluster.members.values() {
        eventually("the write", || async { knows(&member.node, worker).then_some(()) }).await;
    }
}

async fn expulsion(node: &Node) -> Expulsion {
    tokio::time::timeout(PATIENCE, node.expelled()).await.unwrap()
}

async fn change(cluster: &Cluster, change: &MemberChange) -> Result<(), MembershipError> {
    eventually("the change", || async {
        let leader = cluster.node(cluster.leader().await);
        match leader.change_membership(&leader.membership(), change, Force::No).await {
            Err(MembershipError::NotLeader | MembershipError::InProgress) => None,
            changed => Some(changed),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_from_one_to_five_and_shrinks_to_three() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(1, &[1]).await;
    cluster.begin_term(ClusterId(7)).await;
    for joiner in 2..=5 {
        cluster.start_joiner(joiner, &[1]).await;
    }
    has_voters(&cluster, &[1, 2, 3, 4, 5]).await;
    cluster.node(MasterId(5)).propose(&register("w1")).await.unwrap();
    all_know(&cluster, "w1").await;

    let leader = cluster.leader().await;
    let leaving = cluster.members.keys().copied().filter(|id| *id != leader).take(2);
    for id in leaving.collect::<Vec<_>>() {
        let gone = cluster.node(id).clone();
        change(&cluster, &MemberChange::Remove(gone.node_id())).await.unwrap();
        assert_eq!(expulsion(&gone).await, Expulsion::Removed);
        drop(gone);
        cluster.stop(id).await;
    }
    let left = cluster.members.keys().map(|id| id.0).collect::<Vec<_>>();
    has_voters(&cluster, &left).await;
    cluster.node(leader).propose(&register("w2")).await.unwrap();
    all_know(&cluster, "w2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_master_that_comes_back_finds_out() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let gone = cluster.follower().await;
    let node = cluster.node(gone).node_id();
    cluster.stop(gone).await;
    change(&cluster, &MemberChange::Remove(node)).await.unwrap();

    cluster.restart(gone).await;
    assert_eq!(expulsion(cluster.node(gone)).await, Expulsion::Removed);
}

/// Whoever had no answer to a removal asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_carried_out_succeeds_again() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let gone = cluster.follower().await;
    let remove = async |name| {
        let leader = cluster.node(cluster.leader().await);
        leader.order_members(MemberOrder::Remove(name), Force::No).await
    };
    assert_eq!(remove(gone).await, Ok(true));
    assert_eq!(remove(gone).await, Ok(false), "there is nothing left to do");
    let nobody = MasterId(9);
    assert_eq!(remove(nobody).await, Err(MembershipError::NotAMember(nobody)));
    assert_eq!(expulsion(cluster.node(gone)).await, Expulsion::Removed);
    cluster.stop(gone).await;
}

/// It knows its cluster then, and has nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_that_ends_before_its_first_state_arrives_goes_on_where_it_was() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(1, &[1]).await;
    cluster.begin_term(ClusterId(7)).await;
    cluster.node(MasterId(1)).propose(&register("w1")).await.unwrap();
    let joiner = MasterId(2);
    cluster.deafen(joiner);
    cluster.start_joiner(2, &[1]).await;
    eventually("it is admitted", || async { cluster.node(joiner).cluster_id() }).await;
    assert_eq!(cluster.node(joiner).members(), [], "it has a state");
    let node = cluster.node(joiner).node_id();
    cluster.stop(joiner).await;

    cluster.undeafen(joiner);
    cluster.start_joiner(2, &[1]).await;
    assert_eq!(cluster.node(joiner).node_id(), node);
    has_voters(&cluster, &[1, 2]).await;
    all_know(&cluster, "w1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_leaves_too_few_is_refused_with_the_arithmetic() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.leader().await;
    let [gone, present] =
        [0, 1].map(|nth| *cluster.members.keys().filter(|id| **id != leader).nth(nth).unwrap());
    let present = cluster.node(present).node_id();
    cluster.stop(gone).await;

    eventually("its silence is known", || async {
        let members = cluster.node(leader).members();
        let silent = members.iter().filter(|member| {
            !cluster.node(leader).has_answered(member.node, Duration::from_millis(400))
        });
        (silent.count() == 2).then_some(())
    })
    .await;
    let refused = change(&cluster, &MemberChange::Remove(present)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "2 of 3 voters keep up; after the change 1 of 2 would, and 2 are needed"
    );
    let own = MemberChange::Remove(cluster.node(leader).node_id());
    let refused = change(&cluster, &own).await.unwrap_err();
    assert!(matches!(refused, MembershipError::TooFew(_)), "{refused}");

    cluster.restart(gone).await;
    eventually("a leader that may go is to hand over first", || async {
        let refused = change(&cluster, &own).await;
        (refused == Err(MembershipError::Leads(leader))).then_some(())
    })
    .await;
}

/// A leader that sleeps, a voter that lacks a write, and one whose disk was wiped: together the
/// latter two would be a quorum.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_elects_nobody() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.leader().await;
    let wiped = cluster.follower().await;
    let behind = *cluster.members.keys().find(|id| ![leader, wiped].contains(id)).unwrap();
    cluster.deafen(behind);
    cluster.node(leader).propose(&register("w1")).await.unwrap();
    eventually("both have it", || async { knows(cluster.node(wiped), "w1").then_some(()) }).await;
    assert!(!knows(cluster.node(behind), "w1"));

    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.stall(leader, LONG);
    cluster.restart(wiped).await;
    throughout(LONG, || {
        let leads =
            |id| matches!(*cluster.node(id).leadership().borrow(), Leadership::Leading { .. });
        assert!(![behind, wiped].into_iter().any(leads));
    })
    .await;
    assert!(knows(cluster.node(leader), "w1"), "what was acknowledged is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_three_masters_can_be_replaced_by_an_empty_machine() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    for id in [1, 2, 3].map(MasterId) {
        let before = cluster.node(id).node_id();
        cluster.stop(id).await;
        cluster.wipe(id);
        cluster.restart(id).await;
        let node = cluster.node(id).node_id();
        assert_ne!(node, before);
        eventually("it has its place", || async {
            let leader = cluster.node(cluster.leader().await);
            let membership = leader.membership();
            let is_settled = !membership.is_joint && membership.members.len() == 3;
            membership.get(node).is_some_and(|member| is_settled && member.is_voter).then_some(())
        })
        .await;
        let worker = format!("w{id}");
        cluster.node(id).propose(&register(&worker)).await.unwrap();
        all_know(&cluster, &worker).await;
    }
    all_know(&cluster, "w1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_obeys_leaders_that_it_has_never_heard_of() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let away = cluster.follower().await;
    cluster.stop(away).await;
    let known = cluster.members.keys().copied().collect::<Vec<_>>();
    for joiner in [4, 5] {
        cluster.start_joiner(joiner, &known.iter().map(|id| id.0).collect::<Vec<_>>()).await;
    }
    let all = [1, 2, 3, 4, 5];
    has_voters(&cluster, &all).await;
    let leader = cluster.leader().await;
    if known.contains(&leader) {
        let to = Some(MasterId(4));
        eventually("the hand-over", || async {
            cluster.node(leader).transfer_leader(to).await.ok()
        })
        .await;
    }
    for id in known {
        let node = cluster.node(id).node_id();
        change(&cluster, &MemberChange::Remove(node)).await.unwrap();
        cluster.stop(id).await;
    }
    has_voters(&cluster, &[away.0, 4, 5]).await;
    cluster.node(MasterId(4)).propose(&register("w1")).await.unwrap();

    cluster.restart(away).await;
    eventually("the write", || async { knows(cluster.node(away), "w1").then_some(()) }).await;
    cluster.node(away).propose(&register("w2")).await.unwrap();
    all_know(&cluster, "w2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_have_all_moved_find_each_other() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let ids = [1, 2, 3].map(MasterId);
    for id in ids {
        cluster.stop(id).await;
        cluster.move_to_another_address(id).await;
    }
    for id in ids {
        cluster.restart(id).await;
    }
    cluster.node(MasterId(1)).propose(&register("w1")).await.unwrap();
    all_know(&cluster, "w1").await;
    eventually("the membership says so", || async {
        let members = cluster.node(cluster.leader().await).members();
        let is_recorded = |id: &MasterId| {
            let address = cluster.addresses.get(id);
            members.iter().any(|member| member.name == *id && Some(&member.address) == address)
        };
        ids.iter().all(is_recorded).then_some(())
    })
    .await;
}
