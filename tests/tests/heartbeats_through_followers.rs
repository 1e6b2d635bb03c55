//! Followers carry the heartbeats, so that the leader holds no connection for an idle worker. What
//! becomes of a follower costs no worker its session.

use std::time::Duration;

use cluster_tests::client::Client;
use cluster_tests::cluster::Cluster;
use cluster_tests::connections;
use eventually::{eventually, require, throughout};
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;

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

/// It is sent while nobody leads, and answered by whoever leads next.
#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_held_through_an_election() {
    let mut cluster = Cluster::builder().start().await;
    let leader = cluster.leader().await;
    let survivors = cluster.others(leader);
    let mut client = cluster.client_of(survivors[0]);
    // Nobody listens there, so that no leader's call makes it register again.
    client.register_worker("w1", "127.0.0.1:9").await.expect(201);
    let incarnation = uuid::Uuid::new_v4().to_string();
    let mut masters = Vec::new();
    for survivor in &survivors {
        let address = format!("http://{}", cluster.master(*survivor).grpc());
        masters.push(MasterServiceClient::connect(address).await.unwrap());
    }
    let registration = v1::RegisterWorkerRequest {
        worker_id: "w1".to_owned(),
        incarnation: incarnation.clone(),
        data_id: incarnation.clone(),
        address: "127.0.0.1:9".to_owned(),
        specs: Some(v1::WorkerSpecs {
            total: Some(v1::Resources { cpu: Some(0.0), ..v1::Resources::default() }),
            ..v1::WorkerSpecs::default()
        }),
        ..v1::RegisterWorkerRequest::default()
    };
    let session = masters[0].register_worker(registration).await.unwrap().into_inner();
    let before = session.leader.unwrap();
    let heartbeat = v1::HeartbeatRequest {
        cluster_id: before.cluster_id,
        worker_id: "w1".to_owned(),
        incarnation,
        epoch: session.epoch,
        ..v1::HeartbeatRequest::default()
    };

    cluster.master_mut(leader).kill();

    for master in &mut masters {
        let answer = master.send_heartbeat(heartbeat.clone()).await.unwrap().into_inner();
        let now = answer.leader.unwrap();
        assert!(now.term > before.term, "{now:?}");
        assert!(survivors.contains(&now.leader_id), "{now:?}");
        assert!(!answer.register_again, "the session is lost");
    }
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
