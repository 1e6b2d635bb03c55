//! Followers carry the heartbeats, so that the leader holds no connection for an idle worker. What
//! becomes of a follower costs no worker its session.

use std::time::Duration;

use cluster_tests::client::Client;
use cluster_tests::cluster::Cluster;
use cluster_tests::connections;
use cluster_tests::eventually::{eventually, require, throughout};

/// Twice the heartbeat timeout.
const LONG: Duration = Duration::from_secs(8);
const WORKERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_needs_no_single_follower() {
    let mut cluster = Cluster::builder()
        .workers(WORKERS)
        .master_arg("--worker-heartbeat-interval", "200ms")
        .master_arg("--worker-heartbeat-timeout", "4s")
        .start()
        .await;
    let leader = cluster.leader().await;
    let followers = cluster.others(leader);
    let mut client = cluster.client_of(leader);
    await_no_connection(&mut cluster, leader).await;
    let task = cluster.effects().task("before");
    let id = client.submit_under(&task, "before").await.unwrap();
    client.await_state(&id, "completed").await;

    cluster.master_mut(followers[0]).kill();
    check_sessions_stand(&mut client).await;
    cluster.master_mut(followers[0]).restart();
    cluster.await_ready(followers[0]).await;

    cluster.master(followers[1]).freeze();
    check_sessions_stand(&mut client).await;
    cluster.master(followers[1]).thaw();
    check_sessions_stand(&mut client).await;

    assert_eq!(cluster.leader().await, leader, "a follower's fate has moved leadership");
    let task = cluster.effects().task("after");
    let id = client.submit_under(&task, "after").await.unwrap();
    client.await_state(&id, "completed").await;
    // The connection that carried the results is closed when there are no more.
    await_no_connection(&mut cluster, leader).await;
    cluster.check_history().await;
}

async fn await_no_connection(cluster: &mut Cluster, leader: u64) {
    let port = cluster.master(leader).grpc().rsplit(':').next().unwrap().parse().unwrap();
    let names = cluster.worker_names();
    let pids =
        names.iter().map(|name| cluster.worker_mut(name).process().pid()).collect::<Vec<_>>();
    eventually("no worker is connected to the leader", Duration::from_secs(20), async || {
        let open = pids.iter().map(|pid| connections::open_to(*pid, port)).sum::<usize>();
        require(open == 0, || format!("{open} connections"))
    })
    .await;
}

/// No worker falls silent, and none has to register again.
async fn check_sessions_stand(client: &mut Client) {
    throughout("every worker keeps its session", LONG, async || {
        for number in 1..=WORKERS {
            let name = format!("worker-{number}");
            let worker = client.worker(&name).await;
            require(worker["is_active"] == true, || worker.to_string())?;
            let history = client.get(&format!("/api/workers/{name}/history")).await;
            let history = history.expect(200).json();
            let events = history["events"].as_array().unwrap().iter();
            let connected = events.filter(|event| event["event"] == "connected").count();
            require(connected == 1, || history.to_string())?;
        }
        Ok(())
    })
    .await;
}
