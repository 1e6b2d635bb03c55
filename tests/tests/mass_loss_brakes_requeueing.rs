//! Most workers fall silent at once: an alarm is raised, and their tasks are moved slowly until
//! somebody says that the workers are really gone.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

const TASKS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn tasks_move_slowly_until_the_alarm_is_acknowledged() {
    let mut cluster = slow_to_requeue().await;
    let mut client = cluster.client();
    // On four of the five: so many places are lost with them.
    let mut ids = Vec::new();
    for number in 0..TASKS {
        let mut task = cluster.effects().endless_at_first(&format!("task-{number}"));
        task["worker_id"] = format!("worker-{}", number % 4 + 1).into();
        ids.push(client.submit(&task).await);
    }
    for id in &ids {
        client.await_state(id, "running").await;
    }
    let leader = cluster.leader().await;
    lose_four_of_five(&mut cluster, leader).await;
    let shown = cluster.clusterctl(&["status"]).await;
    assert!(shown.stdout.contains("4 of 5"), "{shown:?}");
    eventually("some are queued again", Duration::from_secs(10), async || {
        let queued = count(&mut cluster.client(), "queued").await;
        require(queued > 0, || "none".to_owned())
    })
    .await;
    let queued = count(&mut client, "queued").await;
    assert!(queued < TASKS / 2, "{queued} of {TASKS} were queued again at once");

    client.post("/api/cluster/mass-loss/acknowledge", &serde_json::Value::Null).await.unwrap();
    eventually("all are queued again", Duration::from_secs(4), async || {
        let queued = count(&mut cluster.client(), "queued").await;
        require(queued == TASKS, || format!("{queued}"))
    })
    .await;
    for number in 1..=4 {
        cluster.worker_mut(&format!("worker-{number}")).start();
    }
    for id in &ids {
        let task = client.await_end(id).await;
        assert_eq!(task["state"], "completed", "{task}");
    }
    eventually("the alarm is over", Duration::from_secs(10), async || {
        let status = cluster.status(leader).await;
        require(status["mass_loss"].is_null(), || status["mass_loss"].to_string())
    })
    .await;
    cluster.check_history().await;
}

/// The alarm is in the log, so the next leader brakes as well, and ends it when the workers are back.
#[tokio::test(flavor = "multi_thread")]
async fn the_alarm_outlives_its_leader() {
    let mut cluster = slow_to_requeue().await;
    let leader = cluster.leader().await;
    let raised = lose_four_of_five(&mut cluster, leader).await;

    cluster.master_mut(leader).kill();
    let next = cluster.leader_among(&cluster.others(leader)).await;
    let seen = cluster.status(next).await["mass_loss"].clone();
    assert_eq!(seen, raised, "the next leader knows of another alarm");

    for number in 1..=4 {
        cluster.worker_mut(&format!("worker-{number}")).start();
    }
    eventually("the alarm is over", Duration::from_secs(20), async || {
        let status = cluster.status(next).await;
        require(status["mass_loss"].is_null(), || status["mass_loss"].to_string())
    })
    .await;
}

/// Five workers, and one task in a second is queued again in a mass loss.
async fn slow_to_requeue() -> Cluster {
    let cluster = Cluster::builder().workers(5).short_lease();
    cluster.master_arg("--worker-mass-loss-requeue-rate", "1").start().await
}

/// Kills all workers but the fifth; the alarm that the leader raises.
async fn lose_four_of_five(cluster: &mut Cluster, leader: u64) -> serde_json::Value {
    for number in 1..=4 {
        cluster.worker_mut(&format!("worker-{number}")).process().kill();
    }
    eventually("the alarm is raised", Duration::from_secs(10), async || {
        let alarm = cluster.status(leader).await["mass_loss"].clone();
        if alarm["lost"] == 4 { Ok(alarm) } else { Err(alarm.to_string()) }
    })
    .await
}

async fn count(client: &mut cluster_tests::client::Client, state: &str) -> usize {
    let tasks = client.tasks().await;
    tasks.iter().filter(|task| task["state"] == state).count()
}
