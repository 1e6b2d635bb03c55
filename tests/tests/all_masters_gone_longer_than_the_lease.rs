//! All masters are gone for longer than a lease: workers end what they run, and it runs again once
//! there are masters.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_outlives_its_lease() {
    let mut cluster = Cluster::builder().workers(1).short_lease().start().await;
    let mut client = cluster.client();
    let task = cluster.effects().endless_at_first("endless");
    let id = client.submit_under(&task, "endless").await.unwrap();
    client.await_state(&id, "running").await;
    eventually("the first attempt runs", Duration::from_secs(10), async || {
        cluster.effects().first_process("endless").ok_or("no process yet".to_owned())
    })
    .await;

    for id in cluster.master_ids() {
        cluster.master_mut(id).kill();
    }
    eventually("the worker ends it by itself", Duration::from_secs(6), async || {
        let left = cluster.effects().first_process("endless");
        require(left.is_none(), || format!("{left:?} lives"))
    })
    .await;
    for id in cluster.master_ids() {
        cluster.master_mut(id).restart();
    }

    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["outcome"]), (2, &"lost".into()), "{task}");
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
