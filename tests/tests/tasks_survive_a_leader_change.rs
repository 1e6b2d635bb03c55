//! Running tasks do not notice that the leader dies.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn running_attempts_go_on_undisturbed() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let mut client = cluster.client();
    let mut tasks = Vec::new();
    for number in 0..10 {
        let name = format!("lasting-{number}");
        let task = cluster.effects().lasting(&name, Duration::from_secs(4));
        tasks.push(client.submit_under(&task, &name).await.unwrap());
    }
    eventually("all of them run", Duration::from_secs(10), async || {
        let running = cluster.effects().all().len();
        require(running == tasks.len(), || format!("{running} do"))
    })
    .await;

    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();

    for id in &tasks {
        let task = client.await_end(id).await;
        assert_eq!(task["state"], "completed", "{task}");
        let attempts = task["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "it was disturbed: {task}");
    }
    for name in cluster.worker_names() {
        let worker = client.worker(&name).await;
        assert_eq!(worker["epoch"], 1, "it had to begin anew: {worker}");
        assert_eq!(worker["is_active"], true, "{worker}");
    }
    cluster.check_history().await;
}
