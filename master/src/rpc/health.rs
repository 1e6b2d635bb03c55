//! The standard health service: serving while a leader is known and the master is not stopping.

use raft_store::Leadership;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The empty name stands for the server as a whole.
const SERVICES: [&str; 6] = [
    "",
    "cloudai.v1.TaskService",
    "cloudai.v1.RegistryService",
    "cloudai.v1.ClusterService",
    "cloudai.v1.MasterService",
    "cloudai.v1.UserService",
];

/// Keeps the reported status true until `stop`.
pub(super) async fn report(
    reporter: HealthReporter,
    mut leadership: watch::Receiver<Leadership>,
    stop: CancellationToken,
) {
    loop {
        let status = match *leadership.borrow_and_update() {
            Leadership::Leading { .. } | Leadership::Following { .. } => ServingStatus::Serving,
            Leadership::Leaderless { .. } => ServingStatus::NotServing,
        };
        set_all(&reporter, status).await;
        tokio::select! {
            () = stop.cancelled() => break,
            changed = leadership.changed() => if changed.is_err() { break },
        }
    }
    set_all(&reporter, ServingStatus::NotServing).await;
}

async fn set_all(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}
