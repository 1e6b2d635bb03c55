//! One process of the fleet: its workers share a thread, and each has a gRPC server of its own.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use proto::v1::worker_service_server::WorkerServiceServer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::counters::FleetCounters;
use super::service::SimulatedWorkerService;
use super::worker::SimulatedWorker;
use super::{FleetError, worker_address, worker_id};
use crate::args::FleetArgs;
use crate::open_files;

/// A worker's own listener, the leader's connection to it, and its connections to two leaders while
/// it changes from one to the other.
const FILES_PER_WORKER: u64 = 4;
/// Everything else that is open.
const OTHER_FILES: u64 = 100;
/// Least and longest time between two reports.
const REPORT_PAUSE: Duration = Duration::from_millis(10);
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// As a real worker probes its leader.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// One leader calls, at most two during a change.
const BACKLOG: u32 = 8;

/// Waits for the word on standard input, runs the workers, and ends with standard input.
pub(crate) async fn serve(args: &FleetArgs) -> Result<(), FleetError> {
    open_files::require(u64::from(args.count) * FILES_PER_WORKER + OTHER_FILES)?;
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    if commands.next_line().await?.is_none() {
        return Ok(());
    }
    let counters = Arc::new(FleetCounters::default());
    let mut parts = JoinSet::new();
    for number in args.first..args.first.saturating_add(args.count) {
        start_worker(number, args.port, &counters, &mut parts)?;
    }
    tokio::select! {
        told = report(&counters) => told?,
        // Whoever has started this process is gone or done.
        _ = commands.next_line() => {}
    }
    Ok(())
}

fn start_worker(
    number: u32,
    port: u16,
    counters: &Arc<FleetCounters>,
    parts: &mut JoinSet<()>,
) -> Result<(), FleetError> {
    let address = worker_address(number, port);
    let listener = listen(&address)
        .map_err(|source| FleetError::Listen { address: address.clone(), source })?;
    counters.on_listening();
    let (worker, session_loop) =
        SimulatedWorker::new(worker_id(number), address, Arc::clone(counters));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .add_service(WorkerServiceServer::new(SimulatedWorkerService(worker)))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    parts.spawn(async move {
        // A worker whose server fails is missed in the count.
        drop(Box::pin(server).await);
    });
    parts.spawn(Box::pin(session_loop.run()));
    Ok(())
}

fn listen(address: &str) -> io::Result<TcpListener> {
    let address = address.parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Tells how far the workers are whenever that changes, and now and then.
async fn report(counters: &FleetCounters) -> io::Result<()> {
    loop {
        let line = serde_json::to_string(&counters.report())?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
        drop(stdout);
        sleep(REPORT_PAUSE).await;
        // Whether something changed or the time is over, it is told.
        timeout(REPORT_INTERVAL, counters.changed()).await.ok();
    }
}
