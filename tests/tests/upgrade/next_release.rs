//! From this release to the next one, which is made of a patch.

use cluster_tests::cluster::Release;

use super::pair::Pair;
use super::{Workers, await_refusal, come_back, go_back, stay_out, upgrade};

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_be_upgraded_first() {
    upgrade(Pair::NEXT, 0, Workers::Stay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_be_upgraded_between_its_followers() {
    upgrade(Pair::NEXT, 1, Workers::Stay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_be_upgraded_last() {
    upgrade(Pair::NEXT, 2, Workers::Stay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_goes_back_to_the_release_before() {
    go_back(Pair::NEXT, Workers::Stay).await;
}

/// After the level has risen it says what it lacks, with its own data and with none.
#[tokio::test(flavor = "multi_thread")]
async fn the_release_before_stays_out_once_the_level_has_risen() {
    let (mut cluster, older) = stay_out(Pair::NEXT).await;

    std::fs::remove_dir_all(cluster.master(older).data_dir()).unwrap();
    cluster.start_program(older, Release::This);
    await_refusal(&mut cluster, older, Pair::NEXT).await;

    come_back(cluster, older, Release::Next).await;
}
