//! All masters die at once and come back: what was acknowledged is there, what ran runs on.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn queue_and_running_tasks_survive_an_outage_of_all_masters() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let lasting = cluster.effects().lasting("lasting", Duration::from_secs(6));
    let running = client.submit_under(&lasting, "lasting").await.unwrap();
    client.await_state(&running, "running").await;
    let load = Load::start(&client, cluster.effects(), Plan::STEADY);
    load.progress(100).await;

    for id in cluster.master_ids() {
        cluster.master_mut(id).kill();
    }
    for id in cluster.master_ids() {
        cluster.master_mut(id).restart();
    }
    load.progress(100).await;

    let tally = load.stop().await;
    println!("longest gap between two acknowledgments: {:?}", tally.longest_gap());
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    let task = client.await_state(&running, "completed").await;
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it was disturbed: {task}");
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
