//! An order about many tasks is carried out whichever master leads.

use cluster_tests::cluster::Cluster;
use eventually::{PATIENCE, eventually};
use serde_json::json;

const TASKS: usize = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_goes_on_where_the_one_before_has_stopped() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();
    let task = json!({"command": ["true"], "labels": {"team": "x"}});
    for _ in 0..TASKS / 2_000 {
        client.post("/api/tasks", &json!(vec![task.clone(); 2_000])).await.unwrap().expect(201);
    }
    let other = client.submit(&json!({"command": ["true"]})).await;

    let order = ["task", "cancel", "--state", "queued", "--label", "team=x"];
    let asked = cluster.clusterctl(&order).await.expect(2);
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    let order = [order.as_slice(), &["--yes", "--no-wait"]].concat();
    let job = cluster.clusterctl(&order).await.expect(0).stdout.trim().to_owned();
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();

    cluster.clusterctl(&["job", "wait", &job]).await.expect(0);
    let ended = cluster.clusterctl(&["-o", "json", "job", "show", &job]).await.expect(0).json();
    let expected = (json!("completed"), json!(TASKS));
    assert_eq!((ended["state"].clone(), ended["done"].clone()), expected, "{ended}");
    assert_eq!(client.task(&other).await["state"], "queued");

    let again = ["-o", "json", "task", "retry", "--cancelled", "--yes"];
    let again = cluster.clusterctl(&again).await.expect(0).json();
    let expected = (json!("retry"), json!(TASKS));
    assert_eq!((again["action"].clone(), again["done"].clone()), expected, "{again}");
    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;
    eventually("all are queued", PATIENCE, async || {
        let status = cluster.clusterctl(&["-o", "json", "status"]).await.json();
        let queued = status["tasks"]["queued"].clone();
        if queued == TASKS + 1 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let table = cluster.clusterctl(&["job", "list"]).await.expect(0).stdout;
    assert!(table.contains("all queued tasks with label team=x"), "{table}");
    cluster.await_converged().await;
    cluster.check_replicas_agree().await;
}
