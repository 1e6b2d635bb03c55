//! Short tasks follow one another on a worker without a round trip between two of them.

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require};
use serde_json::{Value, json};

/// Enough that hundreds wait whenever a fault comes.
const TASKS: usize = 600;

async fn submit(cluster: &Cluster, tasks: usize) -> Vec<String> {
    let tasks = (0..tasks).map(|number| cluster.effects().task(&format!("short-{number}")));
    let body = Value::from_iter(tasks);
    let answer = cluster.client().post("/api/tasks", &body).await.unwrap().expect(201).json();
    let ids = answer.as_array().unwrap().iter();
    ids.map(|task| task["task_id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the leader says that attempts were given ahead. It says nothing while its quorum lease
/// is away.
async fn await_some_ahead(cluster: &Cluster) {
    eventually("some attempts are given ahead", CONNECT_PATIENCE, async || {
        let leader = cluster.leader().await;
        let given = cluster.client_of(leader).metric("cloudai_attempts_given_ahead_total").await;
        require(given.is_some_and(|given| given > 0.0), || format!("{given:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_runs_once_though_leader_and_worker_die() {
    let mut cluster = Cluster::builder().workers(1).short_lease().start().await;
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();
    let ids = submit(&cluster, TASKS).await;

    client.await_end(&ids[TASKS / 4]).await;
    await_some_ahead(&cluster).await;
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    client.await_end(&ids[TASKS / 2]).await;
    let worker = cluster.worker_names().into_iter().next().unwrap();
    cluster.worker_mut(&worker).process().kill();
    cluster.worker_mut(&worker).start();

    for id in &ids {
        let task = client.await_end(id).await;
        assert_eq!(task["state"], "completed", "{task}");
    }
    let worker = client.worker(&worker).await;
    assert_eq!(worker["allocated"]["cpu"], 0.0, "{worker}");
    cluster.master_mut(leader).restart();
    cluster.await_converged().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_tasks_that_came_ahead_run_and_the_others_are_given_back() {
    let cluster = Cluster::builder().workers(1).start().await;
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();
    let short = submit(&cluster, 60).await;
    // One for each processor, and more that can only wait.
    let long = json!({"command": ["/bin/sleep", "300"], "priority": 49});
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(client.submit(&long).await);
    }
    for id in &short {
        client.await_end(id).await;
    }
    let (running, waiting) = ids.split_at(4);
    for id in running {
        let task = client.await_state(id, "running").await;
        assert!(task["started_at"].is_string(), "{task}");
    }
    for id in waiting {
        let task = client.await_state(id, "queued").await;
        assert_eq!(task["exit_code"], Value::Null, "{task}");
    }

    for id in running {
        client.delete(&format!("/api/tasks/{id}")).await.expect(202);
        assert_eq!(client.await_end(id).await["state"], "cancelled");
    }
    for id in waiting {
        client.await_state(id, "running").await;
        client.delete(&format!("/api/tasks/{id}")).await.expect(202);
    }
    cluster.check_history().await;
}
