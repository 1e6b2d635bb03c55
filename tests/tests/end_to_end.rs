//! Tasks wait in the queue until there are workers, and are then assigned by themselves.

use cluster_tests::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn queued_tasks_run_when_workers_start() {
    let mut cluster = Cluster::builder().start().await;
    for _ in 0..2 {
        cluster.register_worker().await;
    }
    let mut client = cluster.client();
    let mut tasks = Vec::new();
    for number in 0..20 {
        let name = format!("task-{number}");
        tasks.push(client.submit_under(&cluster.effects().task(&name), &name).await.unwrap());
    }
    let first = client.task(tasks.first().unwrap()).await;
    assert_eq!(first["state"], "queued", "{first}");
    let why = first["pending_reason"].as_str().unwrap_or_default();
    assert!(!why.is_empty(), "it does not say why it waits: {first}");

    for name in cluster.worker_names() {
        cluster.worker_mut(&name).start();
    }

    for id in &tasks {
        let task = client.await_end(id).await;
        assert_eq!(task["state"], "completed", "{task}");
        assert_eq!(task["exit_code"], 0, "{task}");
    }
    assert_eq!(cluster.effects().all().len(), tasks.len());
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_master_takes_and_shows_tasks() {
    let cluster = Cluster::builder().workers(1).start().await;
    for id in cluster.master_ids() {
        let task = cluster.effects().task(&format!("through-{id}"));
        let submitted = cluster.client_of(id).submit(&task).await;
        for other in cluster.master_ids() {
            // The same session or not: a linearizable read sees what was acknowledged before.
            let shown = cluster.client_of(other).task(&submitted).await;
            assert_eq!(shown["name"], task["name"], "{shown}");
        }
        cluster.client().await_state(&submitted, "completed").await;
    }
}
