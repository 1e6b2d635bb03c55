//! A worker that reports attempts that are not its own is refused, and counted.

use std::time::Duration;

use cluster_tests::client::Client;
use cluster_tests::cluster::Cluster;
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use tonic::Code;
use tonic::transport::Channel;

const LIAR: &str = "liar";

/// Says what it likes to the masters.
struct Liar {
    masters: MasterServiceClient<Channel>,
    cluster_id: String,
    epoch: u64,
}

impl Liar {
    async fn register(cluster: &Cluster, leader: u64) -> Self {
        let mut client = cluster.client();
        // Nobody listens there: it is not asked to run anything.
        client.register_worker(LIAR, "127.0.0.1:9").await.expect(201);
        let cluster_id = cluster.status(leader).await["cluster_id"].as_str().unwrap().to_owned();
        let address = format!("http://{}", cluster.master(leader).grpc());
        let mut masters = MasterServiceClient::connect(address).await.unwrap();
        let request = v1::RegisterWorkerRequest {
            cluster_id: cluster_id.clone(),
            worker_id: LIAR.to_owned(),
            incarnation: uuid::Uuid::new_v4().to_string(),
            data_id: uuid::Uuid::new_v4().to_string(),
            address: "127.0.0.1:9".to_owned(),
            specs: Some(v1::WorkerSpecs {
                total: Some(v1::Resources { cpu: Some(0.0), ..v1::Resources::default() }),
                ..v1::WorkerSpecs::default()
            }),
            ..v1::RegisterWorkerRequest::default()
        };
        let epoch = masters.register_worker(request).await.unwrap().into_inner().epoch;
        Self { masters, cluster_id, epoch }
    }

    async fn claim(&mut self, task: &str, attempt: u32, epoch: u64) -> Result<(), tonic::Status> {
        let request = v1::ReportTaskCompletionRequest {
            cluster_id: self.cluster_id.clone(),
            worker_id: LIAR.to_owned(),
            epoch,
            finished: vec![v1::FinishedAttempt {
                attempt: Some(v1::AttemptRef { task_id: task.to_owned(), attempt }),
                outcome: Some(v1::finished_attempt::Outcome::ExitCode(0)),
                ..v1::FinishedAttempt::default()
            }],
            ..v1::ReportTaskCompletionRequest::default()
        };
        self.masters.report_task_completion(request).await.map(|_| ())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_attempts_that_are_not_its_own_change_nothing() {
    let cluster = Cluster::builder().workers(1).start().await;
    let leader = cluster.leader().await;
    let mut client = cluster.client();
    let mut liar = Liar::register(&cluster, leader).await;
    let task = cluster.effects().lasting("honest", Duration::from_secs(3));
    let id = client.submit_under(&task, "honest").await.unwrap();
    client.await_state(&id, "running").await;
    let before = stale_rejections(&mut cluster.client_of(leader)).await;

    let epoch = liar.epoch;
    // Another's attempt, one that is not there yet, a task that is not there, an old registration.
    liar.claim(&id, 1, epoch).await.unwrap();
    liar.claim(&id, 2, epoch).await.unwrap();
    liar.claim("t999999", 1, epoch).await.unwrap();
    liar.claim(&id, 1, epoch - 1).await.unwrap();

    let task = client.task(&id).await;
    assert_eq!(task["state"], "running", "{task}");
    let after = stale_rejections(&mut cluster.client_of(leader)).await;
    assert!(after >= before + 4.0, "counted {before} before and {after} after");
    let task = client.await_end(&id).await;
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(task["attempts"][0]["worker_id"], "worker-1", "{task}");
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_cluster_or_without_a_place_is_refused() {
    let cluster = Cluster::builder().masters(1).start().await;
    let mut liar = Liar::register(&cluster, 1).await;
    let stranger = v1::RegisterWorkerRequest {
        cluster_id: liar.cluster_id.clone(),
        worker_id: "stranger".to_owned(),
        incarnation: uuid::Uuid::new_v4().to_string(),
        data_id: uuid::Uuid::new_v4().to_string(),
        address: "127.0.0.1:9".to_owned(),
        specs: Some(v1::WorkerSpecs::default()),
        ..v1::RegisterWorkerRequest::default()
    };
    let refusal = liar.masters.register_worker(stranger).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound, "{refusal:?}");

    let foreign = v1::HeartbeatRequest {
        cluster_id: uuid::Uuid::new_v4().to_string(),
        worker_id: LIAR.to_owned(),
        incarnation: uuid::Uuid::new_v4().to_string(),
        epoch: liar.epoch,
        ..v1::HeartbeatRequest::default()
    };
    let refusal = liar.masters.send_heartbeat(foreign).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal:?}");

    let old = v1::HeartbeatRequest {
        cluster_id: liar.cluster_id.clone(),
        worker_id: LIAR.to_owned(),
        incarnation: uuid::Uuid::new_v4().to_string(),
        epoch: liar.epoch - 1,
        ..v1::HeartbeatRequest::default()
    };
    let answer = liar.masters.send_heartbeat(old).await.unwrap().into_inner();
    assert!(answer.register_again, "an old registration was renewed");
}

async fn stale_rejections(leader: &mut Client) -> f64 {
    leader.metric("cloudai_stale_rejections_total").await.unwrap()
}
