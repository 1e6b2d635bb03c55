//! From this release to the next one, which is made of a patch.

use std::time::Duration;

use cluster_tests::cluster::{Cluster, Release};
use eventually::{require, throughout};
use serde_json::Value;

use super::pair::Pair;
use super::{
    Workers, assert_levels, await_refusal, await_rise, come_back, go_back, start, stay_out, upgrade,
};

/// Time within which the leader would find that the level could rise.
const LONG: Duration = Duration::from_secs(12);

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

/// An operator keeps the way back open, and closes it.
#[tokio::test(flavor = "multi_thread")]
async fn the_level_stays_while_it_is_held_and_rises_when_that_is_over() {
    let pair = Pair::NEXT;
    let mut cluster = start(pair, 1).await;
    let held = cluster.clusterctl(&["upgrade", "hold", "-o", "json"]).await.expect(0).json();
    assert_eq!(held["hold"], true);
    let [last, first, second] = cluster.master_ids()[..] else { panic!("three masters") };
    for id in [first, second] {
        assert_eq!(restart_of(&upgrade_status(&cluster).await, id)["restart_safe"], true);
        cluster.replace_program(id, pair.newer).await;
        cluster.await_voters().await;
    }

    let refused = cluster.clusterctl(&["upgrade", "finish"]).await.expect(4);
    assert!(refused.stderr.contains(&format!("master {last} runs release")), "{}", refused.stderr);
    cluster.master_mut(first).kill();
    let status = upgrade_status(&cluster).await;
    let restart = restart_of(&status, last);
    assert_eq!(restart["restart_safe"], false, "{status}");
    let reason = restart["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("master {first} does not answer")), "{reason}");
    cluster.master_mut(first).restart();
    cluster.replace_program(last, pair.newer).await;
    cluster.await_voters().await;

    throughout("the level is held", LONG, async || {
        let status = upgrade_status(&cluster).await;
        require(status["level"] == pair.older_level.0, || status.to_string())
    })
    .await;
    let status = upgrade_status(&cluster).await;
    assert_eq!(status["level_possible"], pair.newer_level.0, "{status}");
    assert!(status["next_step"].as_str().unwrap().contains("upgrade finish"), "{status}");
    cluster.replace_program(last, pair.older).await;
    cluster.await_ready(last).await;
    cluster.replace_program(last, pair.newer).await;
    cluster.await_voters().await;
    assert_levels(&mut cluster, pair.older_level).await;

    let finished = cluster.clusterctl(&["upgrade", "finish", "-o", "json"]).await.expect(0).json();
    assert_eq!(finished["level"], pair.newer_level.0, "{finished}");
    await_rise(&mut cluster, pair).await;
}

/// A cluster of the first level has no settings: the configuration of the leader holds its level.
#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_holds_the_first_level() {
    let cluster = Cluster::builder().masters(1).master_switch("--upgrade-hold").start().await;

    let status = upgrade_status(&cluster).await;
    assert_eq!((&status["level"], &status["hold"]), (&Value::from(1), &Value::Null), "{status}");
    assert!(status["next_step"].as_str().unwrap().contains("upgrade.hold"), "{status}");
    let refused = cluster.clusterctl(&["upgrade", "hold"]).await.expect(4);
    assert!(refused.stderr.contains("no settings at feature level 1"), "{}", refused.stderr);
    let waited = cluster.clusterctl(&["upgrade", "finish", "--timeout", "2s"]).await.expect(7);
    assert!(waited.stderr.contains("upgrade.hold"), "{}", waited.stderr);
}

async fn upgrade_status(cluster: &Cluster) -> Value {
    cluster.clusterctl(&["upgrade", "status", "-o", "json"]).await.expect(0).json()
}

/// Returns what the status says of a restart of a master.
fn restart_of(status: &Value, id: u64) -> Value {
    let masters = status["masters"].as_array().unwrap();
    masters.iter().find(|master| master["id"] == id).unwrap().clone()
}
