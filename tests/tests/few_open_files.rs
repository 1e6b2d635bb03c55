//! A master may open hardly any files, and strangers ask for more connections than that: it serves
//! fewer of them, and its storage lacks nothing.

use std::process::Command;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const TASKS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_take_the_files_of_the_storage() {
    let mut cluster = Cluster::builder()
        .masters(1)
        .workers(1)
        .worker_arg("--executor", "noop")
        .master_arg("--raft-snapshot-every", "200")
        .master_arg("--raft-log-kept", "50")
        .start()
        .await;
    let pid = cluster.master(1).pid().to_string();
    let lowered = Command::new("prlimit").args(["--pid", &pid, "--nofile=256:256"]).status();
    assert!(lowered.unwrap().success());

    let mut strangers = Vec::new();
    for port in [cluster.master(1).http(), cluster.master(1).grpc()] {
        for _ in 0..300 {
            let mut stranger = TcpStream::connect(port).await.unwrap();
            // It may have been shown out already.
            stranger.write_all(b"GET /api/tasks HTTP/1.1\r\n").await.ok();
            strangers.push(stranger);
        }
    }
    assert_eq!(cluster.probe(1, "/livez").await, Some(200));

    let mut client = cluster.client();
    for _ in 0..TASKS / 20 {
        let bulk = json!(vec![json!({"command": ["true"]}); 20]);
        client.post("/api/tasks", &bulk).await.unwrap().expect(201);
    }
    eventually("all tasks have ended", Duration::from_secs(60), async || {
        let tasks = client.get("/api/cluster").await.json()["tasks"].clone();
        let live = tasks.as_object().unwrap().values().filter_map(serde_json::Value::as_u64);
        require(live.sum::<u64>() == 0, || tasks.to_string())
    })
    .await;
    assert!(cluster.master_mut(1).is_running(), "{}", cluster.master(1).log());
    drop(strangers);
}
