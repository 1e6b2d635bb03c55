//! A worker is taken off the registry while it runs something: it learns of it at once, and the
//! task runs elsewhere.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require, throughout};

#[tokio::test(flavor = "multi_thread")]
async fn its_task_runs_elsewhere_and_it_waits_to_be_registered_again() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let mut client = cluster.client();
    let task = cluster.effects().endless_at_first("endless");
    let id = client.submit_under(&task, "endless").await.unwrap();
    let task = client.await_state(&id, "running").await;
    let gone = task["attempts"][0]["worker_id"].as_str().unwrap().to_owned();
    eventually("the first attempt runs", Duration::from_secs(10), async || {
        cluster.effects().first_process("endless").ok_or("no process yet".to_owned())
    })
    .await;

    client.delete(&format!("/api/workers/{gone}")).await.expect(204);

    eventually("its process is ended", Duration::from_secs(5), async || {
        let left = cluster.effects().first_process("endless");
        require(left.is_none(), || format!("{left:?} lives"))
    })
    .await;
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"][0]["reason"], "the worker was unregistered", "{task}");
    assert_ne!(task["attempts"][1]["worker_id"], *gone, "{task}");
    let path = format!("/api/workers/{gone}");
    throughout("it does not come back by itself", Duration::from_secs(3), async || {
        let answer = client.get(&path).await;
        require(answer.status.as_u16() == 404, || answer.text())
    })
    .await;

    assert!(cluster.worker_mut(&gone).process().is_running());
    let address = cluster.worker(&gone).address().to_owned();
    client.register_worker(&gone, &address).await.expect(201);
    client.await_worker(&gone, "active", CONNECT_PATIENCE).await;
    cluster.check_history().await;
}
