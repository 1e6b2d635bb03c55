//! Two masters take themselves for the leader, and one worker hears both: it obeys the newer one.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require, throughout};
use proto::v1;
use proto::v1::worker_service_client::WorkerServiceClient;
use tonic::{Code, Response, Status};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_wakes_up_late_does_not_disturb_what_runs() {
    let mut cluster = Cluster::builder().workers(1).short_lease().start().await;
    let frozen = cluster.leader().await;
    let mut client = cluster.client_without(frozen);
    let task = cluster.effects().lasting("lasting", Duration::from_secs(8));
    let id = client.submit_under(&task, "lasting").await.unwrap();
    client.await_state(&id, "running").await;

    cluster.master(frozen).freeze();
    let leader = cluster.leader_among(&cluster.others(frozen)).await;
    follows(&cluster, leader).await;
    let epoch = client.worker("worker-1").await["epoch"].clone();
    // All its timers have run out when it wakes up: it takes the worker for silent.
    throughout("the worker serves the new leader", Duration::from_secs(2), async || {
        let worker = client.worker("worker-1").await;
        require(worker["is_active"] == true, || worker.to_string())
    })
    .await;
    cluster.master(frozen).thaw();

    throughout("the worker goes on serving it", Duration::from_secs(3), async || {
        let worker = client.worker("worker-1").await;
        let undisturbed = worker["is_active"] == true && worker["epoch"] == epoch;
        require(undisturbed, || worker.to_string())
    })
    .await;
    let task = client.await_state(&id, "completed").await;
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it was disturbed: {task}");
    cluster.check_history().await;
    assert!(cluster.master_mut(frozen).is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_an_older_term_or_another_cluster_are_refused_even_after_a_restart() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let task = cluster.effects().lasting("lasting", Duration::from_secs(30));
    let id = client.submit_under(&task, "lasting").await.unwrap();
    client.await_state(&id, "running").await;
    let old = cluster.leader().await;
    let before = header(&cluster, old).await;
    let transfer = ["leader", "transfer"];
    cluster.clusterctl(&transfer).await.expect(0);
    let leader = cluster.leader_among(&cluster.others(old)).await;
    follows(&cluster, leader).await;

    assert_refused(&cluster, before.clone(), &id).await;
    let foreign = v1::LeaderHeader {
        cluster_id: uuid::Uuid::new_v4().to_string(),
        ..header(&cluster, leader).await
    };
    assert_refused(&cluster, foreign, &id).await;
    assert_eq!(client.task(&id).await["state"], "running");

    cluster.worker_mut("worker-1").process().kill();
    cluster.worker_mut("worker-1").start();
    // It may not have met the new leader yet: what it knows is on its disk.
    eventually("the worker listens again", Duration::from_secs(10), async || {
        let refused = register(&cluster, before.clone()).await;
        let refusal = refused.err().ok_or("it obeys an older leader")?;
        require(refusal.code() == Code::FailedPrecondition, || refusal.to_string())
    })
    .await;
}

/// Waits until the worker says that it serves this leader. A master counts the worker as its own
/// as soon as it has recorded the registration, before the worker has read the answer.
async fn follows(cluster: &Cluster, leader: u64) {
    let leader = header(cluster, leader).await;
    eventually("the worker follows the new leader", Duration::from_secs(10), async || {
        let answer = register(cluster, leader.clone()).await;
        let answer = answer.map_err(|status| status.to_string())?;
        require(answer.session_stands, || "its session has not begun".to_owned())
    })
    .await;
}

async fn header(cluster: &Cluster, leader: u64) -> v1::LeaderHeader {
    let status = cluster.status(leader).await;
    v1::LeaderHeader {
        cluster_id: status["cluster_id"].as_str().unwrap().to_owned(),
        term: status["term"].as_u64().unwrap(),
        leader_id: leader,
        leader_address: cluster.master(leader).grpc().to_owned(),
    }
}

async fn register(
    cluster: &Cluster,
    leader: v1::LeaderHeader,
) -> Result<v1::MasterRegisterResponse, Status> {
    let address = format!("http://{}", cluster.worker("worker-1").address());
    let worker = WorkerServiceClient::connect(address).await;
    let mut worker = worker.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = v1::MasterRegisterRequest {
        leader: Some(leader),
        worker_id: "worker-1".to_owned(),
        masters: Vec::new(),
    };
    worker.master_register(request).await.map(Response::into_inner)
}

async fn assert_refused(cluster: &Cluster, leader: v1::LeaderHeader, task_id: &str) {
    let worker_id = "worker-1".to_owned();
    let attempt = v1::AttemptRef { task_id: task_id.to_owned(), attempt: 1 };
    let address = format!("http://{}", cluster.worker("worker-1").address());
    let mut worker = WorkerServiceClient::connect(address).await.unwrap();
    let refusal = register(cluster, leader.clone()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
    let cancel = v1::CancelTaskRequest {
        leader: Some(leader.clone()),
        worker_id: worker_id.clone(),
        attempts: vec![attempt.clone()],
        grace_ms: 0,
    };
    let refusal = worker.cancel_task(cancel).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
    let assign = v1::AssignTaskRequest {
        leader: Some(leader.clone()),
        worker_id: worker_id.clone(),
        epoch: 1,
        assignments: vec![v1::Assignment {
            attempt: Some(v1::AttemptRef { task_id: "t999".to_owned(), attempt: 1 }),
            command: vec!["true".to_owned()],
            ..v1::Assignment::default()
        }],
    };
    let refusal = worker.assign_task(assign).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
    let dismiss = v1::DismissRequest { leader: Some(leader), worker_id, epoch: 1 };
    let refusal = worker.dismiss(dismiss).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
}
