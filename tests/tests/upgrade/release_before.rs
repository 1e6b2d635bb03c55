//! From the release before to this one, with the programs that were built of its sources: see `make
//! upgrade-test`.

use std::fs;

use cluster_tests::cluster::{Cluster, Release};
use cluster_tests::load::{Load, Plan};
use eventually::{PATIENCE, eventually, require};

use super::digests::Replicas;
use super::pair::Pair;
use super::{Workers, assert_levels, await_rise, come_back, go_back, lead, stay_out, upgrade};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn workers_first_and_the_leader_before_its_followers() {
    upgrade(Pair::BUILT, 0, Workers::First).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn workers_first_and_the_leader_between_its_followers() {
    upgrade(Pair::BUILT, 1, Workers::First).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn workers_first_and_the_leader_after_its_followers() {
    upgrade(Pair::BUILT, 2, Workers::First).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn the_leader_before_its_followers_and_workers_last() {
    upgrade(Pair::BUILT, 0, Workers::Last).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn the_leader_between_its_followers_and_workers_last() {
    upgrade(Pair::BUILT, 1, Workers::Last).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn the_leader_after_its_followers_and_workers_last() {
    upgrade(Pair::BUILT, 2, Workers::Last).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn masters_and_workers_go_back() {
    go_back(Pair::BUILT, Workers::Last).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn it_stays_out_once_the_level_has_risen() {
    let (cluster, older) = stay_out(Pair::BUILT).await;
    come_back(cluster, older, Release::This).await;
}

/// A master of the release before reads memberships that name logs, takes a snapshot of this release,
/// and leads members that it has never heard of.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release before: make upgrade-test"]
async fn members_change_and_snapshots_are_sent_beside_it() {
    let small_log = Cluster::builder()
        .master_arg("--raft-snapshot-every", "200")
        .master_arg("--raft-log-kept", "20")
        .master_arg("--raft-log-held-bytes", "0");
    let mut cluster = small_log.release(Release::Before).workers(1).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    for id in [1, 2] {
        cluster.replace_program(id, Release::This).await;
        cluster.await_ready(id).await;
        load.progress(20).await;
    }

    // The old leader admits nobody.
    lead(&cluster, 3).await;
    let replaced = cluster.master_mut(2);
    replaced.kill();
    fs::remove_dir_all(replaced.data_dir()).unwrap();
    replaced.restart();
    eventually("the empty master says why it waits", PATIENCE, async || {
        let log = cluster.master(2).log();
        require(log.contains("a release that admits no masters"), || log)
    })
    .await;
    lead(&cluster, 1).await;
    cluster.await_voters().await;
    cluster.add_master();
    cluster.await_voters().await;

    cluster.master_mut(3).kill();
    let last = cluster.client_of(1).metric("cloudai_raft_last_log_index").await;
    eventually("the log no longer reaches back to where it was", PATIENCE, async || {
        let first = cluster.client_of(1).metric("cloudai_raft_first_log_index").await;
        require(first > last, || format!("{first:?} of {last:?}"))
    })
    .await;
    cluster.master_mut(3).restart();
    cluster.await_ready(3).await;
    Replicas::of(&cluster).await.assert_same().await;
    lead(&cluster, 3).await;
    load.progress(50).await;

    assert_levels(&mut cluster, Pair::BUILT.older_level).await;
    cluster.replace_program(3, Release::This).await;
    await_rise(&mut cluster, Pair::BUILT).await;
    load.progress(20).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
