//! The leader dies while clients submit: nothing acknowledged is lost, nothing runs twice.

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_task_is_completed_exactly_once() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let watch = cluster.watch_leaders();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(100).await;

    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.master_mut(leader).kill();
        load.progress(100).await;
        cluster.master_mut(leader).restart();
        cluster.await_ready(leader).await;
    }

    let tally = load.stop().await;
    println!("longest gap between two acknowledgments: {:?}", tally.longest_gap());
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
}
