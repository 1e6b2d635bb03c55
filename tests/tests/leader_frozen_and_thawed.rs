//! A leader that was asleep wakes up and finds that it no longer leads.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::eventually::throughout;
use cluster_tests::load::{Load, Plan};
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
