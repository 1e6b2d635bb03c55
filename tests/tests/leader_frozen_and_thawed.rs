//! A leader that was asleep wakes up and finds that it no longer leads.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};
use eventually::throughout;
use reqwest::Method;

#[tokio::test(flavor = "multi_thread")]
async fn a_thawed_leader_does_not_act() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let watch = cluster.watch_leaders();
    let frozen = cluster.leader().await;
    let others = cluster.others(frozen);
    let load = Load::start(&cluster.client_without(frozen), cluster.effects(), Plan::STEADY);
    load.progress(50).await;

    cluster.master(frozen).freeze();
    // Two requests that reach it in its sleep and are read when it wakes up.
    let (mut writer, mut reader) = (cluster.client_of(frozen), cluster.client_of(frozen));
    let late = cluster.effects().task("late");
    let write = writer.submit_under(&late, "late");
    let read = reader.send(Method::GET, "/api/tasks?limit=1", &[], None);
    let meanwhile = async {
        let leader = cluster.leader_among(&others).await;
        load.progress(100).await;
        cluster.master(frozen).thaw();
        leader
    };
    let (written, _, leader) = tokio::join!(write, read, meanwhile);

    written.unwrap();
    throughout("the thawed master follows", Duration::from_secs(2), async || {
        let status = cluster.probe(frozen, "/leader").await;
        if status == Some(200) { Err(format!("{status:?}")) } else { Ok(()) }
    })
    .await;
    assert_ne!(leader, frozen);
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.await_ready(frozen).await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
    assert!(cluster.master_mut(frozen).is_running());
}

/// A leader that wakes up finds answers from before its sleep. They must not be taken for answers
/// to what it asks now.
#[tokio::test(flavor = "multi_thread")]
async fn no_sleep_lets_two_masters_lead() {
    let cluster = Cluster::builder().start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    let watch = cluster.watch_leaders();
    for nap in [450, 500, 600, 700, 800, 1_000, 1_200, 1_500] {
        let leader = cluster.leader().await;
        load.progress(20).await;
        cluster.master(leader).freeze();
        // The nap is what is tested.
        tokio::time::sleep(Duration::from_millis(nap)).await;
        cluster.master(leader).thaw();
        cluster.await_all_ready().await;
    }
    drop(load.stop().await);
    assert!(watch.finish().await > 0, "nobody ever led");
}
