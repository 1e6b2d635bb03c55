//! The remains of a cluster that has lost its quorum become a cluster of one, which others join.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use cluster_state::{ClusterId, MasterId};
use proto::channel::Dialer;
use raft_store::{
    Account, Content, Expulsion, Inspection, OpenError, PlanError, PresentMember, Recovery,
    RecoveryPlan, RestoreError, Store, StoreConfig, Unusable, check_is_gone, inspect,
    present_members,
};

use crate::harness::{Cluster, PATIENCE, eventually, knows, register};

/// Three masters, of which one has stopped before the others went on.
async fn with_one_behind() -> (Cluster, MasterId) {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    cluster.node(cluster.leader().await).propose(&register("w1")).await.unwrap();
    let behind = cluster.follower().await;
    eventually("it has the write", || async { knows(cluster.node(behind), "w1").then_some(()) })
        .await;
    cluster.stop(behind).await;
    cluster.node(cluster.leader().await).propose(&register("w2")).await.unwrap();
    (cluster, behind)
}

fn others(id: MasterId) -> [MasterId; 2] {
    let others = [1, 2, 3].map(MasterId).into_iter().filter(|other| *other != id);
    others.collect::<Vec<_>>().try_into().unwrap()
}

/// Waits until nobody has the directory open any more, and looks into it.
async fn closed(dir: &Path) -> Inspection {
    eventually("it is closed", || async {
        let inspection = inspect(dir);
        let is_in_use = matches!(inspection.content, Err(Unusable::InUse));
        (!is_in_use).then_some(inspection)
    })
    .await
}

/// Recovers from one directory into another.
async fn recover(cluster: &Cluster, name: MasterId, source: PathBuf, data_dir: PathBuf) {
    closed(&source).await;
    let recovery = Recovery {
        source,
        data_dir,
        name,
        address: cluster.addresses.get(&name).unwrap().clone(),
        cluster_name: "test".to_owned(),
        generation: None,
    };
    tokio::task::spawn_blocking(move || recovery.run()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_that_goes_furthest_is_chosen_and_others_join_it() {
    let (mut cluster, behind) = with_one_behind().await;
    let [kept, lost] = others(behind);
    let moved = cluster.data_dir(kept).with_extension("old");
    for id in [kept, lost] {
        cluster.stop(id).await;
        closed(&cluster.data_dir(id)).await;
    }
    cluster.wipe(lost);
    std::fs::rename(cluster.data_dir(kept), &moved).unwrap();

    let inspections = [inspect(&cluster.data_dir(behind)), inspect(&moved)];
    let plan = RecoveryPlan::of(&inspections).unwrap();
    assert_eq!(plan.directory, moved);
    assert!(plan.is_complete, "a majority is here: {:?}", plan.voters);
    let missing = plan.voters.iter().filter(|voter| voter.directory.is_none());
    assert_eq!(missing.map(|voter| voter.name).collect::<Vec<_>>(), [lost]);
    let alone = RecoveryPlan::of(&inspections[..1]).unwrap();
    assert!(!alone.is_complete, "{:?}", alone.voters);

    recover(&cluster, kept, moved.clone(), cluster.data_dir(kept)).await;
    let before = inspections[1].content.as_ref().unwrap();
    let after = inspect(&cluster.data_dir(kept)).content.unwrap();
    assert_eq!((after.cluster, after.generation.number), (Some(ClusterId(7)), 1));
    assert_ne!(after.identity.node, before.identity.node);
    assert!(after.last > before.last && after.last.unwrap().leader_id.term > 1_000_000);

    cluster.start_member(kept.0, &[kept.0]).await;
    cluster.node(kept).propose(&register("w3")).await.unwrap();
    cluster.start_joiner(lost.0, &[kept.0]).await;
    eventually("it has all", || async {
        let has = |worker| knows(cluster.node(lost), worker);
        (has("w1") && has("w2") && has("w3")).then_some(())
    })
    .await;

    // The one that was away comes back with what it had.
    cluster.restart(behind).await;
    let gone = tokio::time::timeout(PATIENCE, cluster.node(behind).expelled()).await.unwrap();
    let Expulsion::Superseded { ours, theirs } = gone else { panic!("{gone}") };
    assert_eq!((ours.number, theirs), (0, after.generation));
}

/// Asks the members that a directory names.
async fn present(dir: &Path) -> (Content, Vec<PresentMember>) {
    let content = closed(dir).await.content.unwrap();
    let asked = content.clone();
    let asked = tokio::task::spawn_blocking(move || present_members(&asked, &Dialer::plain()))
        .await
        .unwrap();
    (content, asked.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_alive_is_named_before_a_recovery_ends_it() {
    let (mut cluster, behind) = with_one_behind().await;
    let dir = cluster.data_dir(behind);
    let leader = cluster.leader().await;
    let follower = others(behind).into_iter().find(|id| *id != leader).unwrap();
    let term = cluster.node(leader).leadership().borrow().term().0;
    let (content, answers) = present(&dir).await;
    let alive = check_is_gone(&content, &answers).unwrap_err().to_string();
    let [led, following] = [leader, follower].map(|id| cluster.addresses.get(&id).unwrap());
    for words in [
        format!("master {leader} at {led} leads in term {term}"),
        format!("master {follower} at {following} follows master {leader} in term {term}"),
    ] {
        assert!(alive.contains(&words), "{words} in: {alive}");
    }

    // Alone it is no quorum, and nobody has elected it since the directory was left.
    cluster.stop(follower).await;
    let (content, answers) = present(&dir).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(check_is_gone(&content, &answers), Ok(()));

    let new = dir.with_extension("new");
    recover(&cluster, behind, dir.clone(), new.clone()).await;
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(&new, &dir).unwrap();
    let past = cluster.data_dir(follower);
    cluster.start_member(behind.0, &[behind.0]).await;
    let (content, answers) = present(&past).await;
    let goes_on = |answer: &PresentMember| {
        answer.name == behind
            && matches!(answer.account, Account::Other(theirs) if theirs.number == 1)
    };
    assert!(answers.iter().any(goes_on), "{answers:?}");
    check_is_gone(&content, &answers).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_of_the_past_that_elect_each_other_find_out() {
    let (mut cluster, behind) = with_one_behind().await;
    let moved = cluster.data_dir(behind).with_extension("old");
    closed(&cluster.data_dir(behind)).await;
    std::fs::rename(cluster.data_dir(behind), &moved).unwrap();
    recover(&cluster, behind, moved, cluster.data_dir(behind)).await;

    // The other two run all the time, and are a quorum.
    let past = others(behind);
    cluster.start_member(behind.0, &[behind.0]).await;
    let [first, second] = past.map(|id| cluster.node(id).clone());
    let told = async {
        tokio::select! {
            why = first.expelled() => (past[0], why),
            why = second.expelled() => (past[1], why),
        }
    };
    let (gone, why) = tokio::time::timeout(PATIENCE, told).await.expect("somebody is told");
    assert!(matches!(why, Expulsion::Superseded { .. }), "{why}");
    drop((first, second));
    cluster.stop(gone).await;
    let left = past.into_iter().find(|id| *id != gone).unwrap();
    let why = tokio::time::timeout(PATIENCE, cluster.node(left).expelled()).await.unwrap();
    assert!(matches!(why, Expulsion::Superseded { .. }), "{why}");
    cluster.node(behind).propose(&register("w3")).await.unwrap();
    assert!(!knows(cluster.node(behind), "w2"), "only the others had it");
}

/// Both have the same number: nobody can say which of them is the later one.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_recoveries_that_began_apart_neither_is_joined_and_neither_ends() {
    let (mut cluster, first) = with_one_behind().await;
    let [second, joiner] = others(first);
    for id in [second, joiner] {
        cluster.stop(id).await;
        closed(&cluster.data_dir(id)).await;
        cluster.wipe(id);
    }
    let source = cluster.data_dir(first).with_extension("old");
    closed(&cluster.data_dir(first)).await;
    std::fs::rename(cluster.data_dir(first), &source).unwrap();
    for id in [first, second] {
        recover(&cluster, id, source.clone(), cluster.data_dir(id)).await;
        cluster.start_member(id.0, &[id.0]).await;
    }
    cluster.start_joiner(joiner.0, &[first.0, second.0]).await;

    let somebody_ends = async {
        tokio::select! {
            why = cluster.node(first).expelled() => why,
            why = cluster.node(second).expelled() => why,
            why = cluster.node(joiner).expelled() => why,
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(2), somebody_ends).await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(cluster.node(joiner).members(), [], "it has joined one of them");

    cluster.stop(second).await;
    eventually("it joins the one that is left", || async {
        knows(cluster.node(joiner), "w1").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_no_majority_had_are_kept() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.leader().await;
    for id in others(leader) {
        cluster.deafen(id);
    }
    let node = cluster.node(leader).clone();
    let before = node.local_status().last_log;
    let has_it = eventually("its log has it", || async {
        (node.local_status().last_log > before).then_some(())
    });
    let command = register("w1");
    tokio::select! {
        outcome = node.propose(&command) => panic!("{outcome:?} without a majority"),
        () = has_it => {}
    }
    drop(node);
    for id in [1, 2, 3] {
        cluster.stop(MasterId(id)).await;
    }
    let inspection = [closed(&cluster.data_dir(leader)).await];
    assert!(RecoveryPlan::of(&inspection).unwrap().uncertain.is_some());

    let target = cluster.data_dir(leader).with_extension("new");
    recover(&cluster, leader, cluster.data_dir(leader), target.clone()).await;
    let store = Store::open(StoreConfig::new(&target, leader)).unwrap();
    assert_eq!(store.reader.with(|state| state.workers().len()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_writes_over_nothing_but_its_own_remains() {
    let (mut cluster, behind) = with_one_behind().await;
    let source = cluster.data_dir(behind);
    let target = source.with_extension("new");
    recover(&cluster, behind, source.clone(), target.clone()).await;
    let recovery = |source: &Path, data_dir: &Path| Recovery {
        source: source.to_owned(),
        data_dir: data_dir.to_owned(),
        name: behind,
        address: cluster.addresses.get(&behind).unwrap().clone(),
        cluster_name: "test".to_owned(),
        generation: None,
    };
    let again = recovery(&source, &target);
    let refused = tokio::task::spawn_blocking(move || again.run()).await.unwrap().unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused}");

    std::fs::write(target.join("restoring"), b"").unwrap();
    let refused = Store::open(StoreConfig::new(&target, behind)).unwrap_err();
    assert!(matches!(refused, OpenError::HalfRestored(_)), "{refused}");
    recover(&cluster, behind, source.clone(), target.clone()).await;

    let [apart, second] = [inspect(&source), inspect(&target)];
    let again = source.with_extension("again");
    recover(&cluster, behind, source.clone(), again.clone()).await;
    let refused = RecoveryPlan::of(&[apart, second, inspect(&again)]).unwrap_err();
    assert!(matches!(refused, PlanError::OtherLife { generation: 1, .. }), "{refused}");
    let nothing = [inspect(&source.with_extension("nothing"))];
    assert_eq!(RecoveryPlan::of(&nothing).unwrap_err(), PlanError::Nothing);
    let [nothing] = nothing;
    let refused = RecoveryPlan::of(&[inspect(&source), nothing]).unwrap_err();
    assert!(matches!(refused, PlanError::Unusable { .. }), "{refused}");
    for id in others(behind) {
        cluster.stop(id).await;
    }
}
