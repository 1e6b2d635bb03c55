//! A worker's session with a master, without a worker: calls as a worker would make them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use serde_json::json;
use tonic::transport::Channel;

use crate::one_master::OneMaster;

const INCARNATION: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// The session of one worker.
pub(crate) struct WorkerSession {
    client: MasterServiceClient<Channel>,
    worker: String,
    cluster: String,
    epoch: u64,
}

impl WorkerSession {
    /// Registers a worker as an operator does, and connects it as it would itself.
    pub(crate) async fn open(master: &OneMaster, worker: &str) -> Self {
        pre_register(master, worker).await;
        let url = format!("http://{}", master.grpc());
        let mut client = MasterServiceClient::connect(url).await.unwrap();
        let total = v1::Resources { cpu: Some(4.0), memory_mb: Some(4_096), ..Default::default() };
        let request = v1::RegisterWorkerRequest {
            worker_id: worker.to_owned(),
            incarnation: INCARNATION.to_owned(),
            data_id: INCARNATION.to_owned(),
            address: "127.0.0.1:1".to_owned(),
            specs: Some(v1::WorkerSpecs { total: Some(total), ..Default::default() }),
            ..Default::default()
        };
        let answer = client.register_worker(request).await.unwrap().into_inner();
        let cluster = answer.leader.unwrap().cluster_id;
        Self { client, worker: worker.to_owned(), cluster, epoch: answer.epoch }
    }

    /// Reports that much use of the processor, and half of everything else.
    pub(crate) async fn report(&mut self, cpu_percent: f64) {
        let usage = v1::WorkerUsage {
            cpu_percent,
            memory_percent: 50.0,
            storage_percent: 50.0,
            gpu_percent: 50.0,
        };
        let heartbeat =
            v1::HeartbeatRequest { usage: Some(usage), running_tasks: 3, ..self.heartbeat() };
        self.client.send_heartbeat(heartbeat).await.unwrap();
    }

    /// Shuts down in good order.
    pub(crate) async fn say_goodbye(mut self) {
        let heartbeat = v1::HeartbeatRequest { goodbye: true, ..self.heartbeat() };
        self.client.send_heartbeat(heartbeat).await.unwrap();
    }

    /// A goodbye of a process that this one has replaced, which was long under way.
    pub(crate) async fn goodbye_of_another_arrives(&mut self) {
        let incarnation = "11111111-89ab-cdef-0123-456789abcdef".to_owned();
        let heartbeat = v1::HeartbeatRequest { goodbye: true, incarnation, ..self.heartbeat() };
        self.client.send_heartbeat(heartbeat).await.unwrap();
    }

    fn heartbeat(&self) -> v1::HeartbeatRequest {
        v1::HeartbeatRequest {
            cluster_id: self.cluster.clone(),
            worker_id: self.worker.clone(),
            incarnation: INCARNATION.to_owned(),
            epoch: self.epoch,
            ..Default::default()
        }
    }
}

/// Registers a worker that is offline.
pub(crate) async fn pre_register(master: &OneMaster, worker: &str) {
    let body = json!({"worker_id": worker, "address": "127.0.0.1:1"});
    let answer = master.post("/api/workers", &body).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
}
