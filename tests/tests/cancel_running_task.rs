//! A user stops a task: its processes end, and it never runs again.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_stopped_with_all_its_processes() {
    let cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let pids = cluster.path("pids");
    let script = format!("echo $$ > {0}; sleep 300 & echo $! >> {0}; wait", pids.display());
    let task = cluster.effects().script("endless", &script);
    let id = client.submit(&task).await;
    let running = eventually("both of its processes run", Duration::from_secs(10), async || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        let pids = text.lines().map(str::to_owned).collect::<Vec<_>>();
        require(pids.len() == 2, || text)?;
        Ok(pids)
    })
    .await;

    let answer = client.delete(&format!("/api/tasks/{id}")).await;

    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "cancelled", "{task}");
    eventually("its processes are gone", Duration::from_secs(5), async || {
        let is_left = |pid: &&String| std::path::Path::new("/proc").join(pid).exists();
        let left = running.iter().filter(is_left).collect::<Vec<_>>();
        require(left.is_empty(), || format!("{left:?}"))
    })
    .await;
    let again = client.delete(&format!("/api/tasks/{id}")).await.expect(409);
    assert_eq!(again.problem().as_deref(), Some("conflict"));
    let worker = client.worker("worker-1").await;
    assert_eq!(worker["running_tasks"], 0, "{worker}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_queued_task_never_runs() {
    let mut cluster = Cluster::builder().start().await;
    let mut client = cluster.client();
    let id = client.submit(&cluster.effects().task("unwanted")).await;

    let answer = client.delete(&format!("/api/tasks/{id}")).await.expect(202);

    assert_eq!(answer.json(), json!({"task_id": id, "state": "cancelled"}));
    cluster.add_worker().await;
    let later = client.submit(&cluster.effects().task("wanted")).await;
    client.await_state(&later, "completed").await;
    assert_eq!(cluster.effects().of(&id), []);
    assert_eq!(client.task(&id).await["state"], "cancelled");
}
