//! Tests of a leader whose wall clock jumps.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_state::{Scheduling, StopReason, Task, TaskId, TaskState, Timestamp, WorkerId};
use raft_store::{SystemClock, WallClock};
use serde_json::json;

use crate::one_master::OneMaster;
use crate::scripted_worker::{Script, ScriptedWorker};
use crate::worker_calls::{NOWHERE, WorkerCalls};

const TEN_DAYS_MILLIS: u64 = 10 * 24 * 60 * 60 * 1_000;

/// The machine's clock, and so many milliseconds more.
#[derive(Debug, Default)]
struct Wall(AtomicU64);

impl WallClock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::Relaxed))
    }
}

/// Milliseconds between log time and what the time is.
async fn off(master: &OneMaster) -> u64 {
    master.submit("true").await;
    master.state(|state| Some(state.meta().now)).await.0.abs_diff(SystemClock.now().0)
}

async fn keyed(master: &OneMaster) -> String {
    let body = json!({"command": ["true"], "worker_id": "worker-2"});
    let key = [("idempotency-key", "order-17")];
    master.post_with("/api/tasks", &key, &body).await.json()["task_id"].to_string()
}

/// Has a task run on `worker-1`.
async fn run(master: &OneMaster, run_timeout: &str) -> TaskId {
    let body = json!({
        "command": ["true"], "worker_id": "worker-1", "run_timeout": run_timeout, "max_attempts": 1,
        "resources": {"cpu": 0.2},
    });
    let submitted = master.post("/api/tasks", &body).await;
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let task: TaskId = submitted.json()["task_id"].as_str().unwrap().parse().unwrap();
    let runs = |task: &&Arc<Task>| task.state == TaskState::Running;
    master.state(|state| state.task(task).filter(runs).map(|_| ())).await;
    task
}

async fn drain(master: &OneMaster, worker: &str, timeout: &str) {
    let connected: WorkerId = worker.parse().unwrap();
    let body = json!({"worker_id": worker, "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    WorkerCalls::of(master).await.connect(worker, NOWHERE, "").await.unwrap();
    master.state(|state| state.worker(&connected).filter(|one| one.is_active()).map(|_| ())).await;
    let path = format!("/api/workers/{worker}/drain?timeout={timeout}");
    assert_eq!(master.post(&path, &json!({})).await.status, 200);
}

fn stop_of(task: &Task) -> Option<StopReason> {
    task.live_attempt().and_then(|attempt| attempt.stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_ends_nothing() {
    let wall = Arc::new(Wall::default());
    let master = OneMaster::start_by(Arc::clone(&wall) as Arc<dyn WallClock>).await;
    let worker = ScriptedWorker::serve(Script::default()).await;
    let address = &worker.address;
    let body = json!({"worker_id": "worker-1", "address": address});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    WorkerCalls::of(&master).await.connect("worker-1", address, "").await.unwrap();
    let running = run(&master, "1h").await;
    let first = keyed(&master).await;
    let token = json!({"token_id": "fleet", "ttl": "1h"});
    assert_eq!(master.post("/api/tokens", &token).await.status, 201);
    drain(&master, "worker-3", "1h").await;
    let finished = master.submit("true").await;
    assert_eq!(master.delete(&format!("/api/tasks/{finished}")).await.status, 202);

    wall.0.store(TEN_DAYS_MILLIS, Ordering::Relaxed);
    // Short timers fire, so timers were looked at since the jump.
    let short = run(&master, "300ms").await;
    let stopped = |task: &&Arc<Task>| stop_of(task) == Some(StopReason::RunTimeout);
    master.state(|state| state.task(short).filter(stopped).map(|_| ())).await;
    drain(&master, "worker-4", "100ms").await;
    let drained = |worker: &str| worker.parse::<WorkerId>().unwrap();
    let (three, four) = (drained("worker-3"), drained("worker-4"));
    let is_over = |scheduling| scheduling == Scheduling::Emptying;
    master.state(|state| is_over(state.worker(&four)?.scheduling).then_some(())).await;

    assert!(off(&master).await < 5_000);
    let untouched = master.state(|state| {
        Some((stop_of(state.task(running)?), is_over(state.worker(&three)?.scheduling)))
    });
    assert_eq!(untouched.await, (None, false));
    assert_eq!(keyed(&master).await, first);
    let tokens = master.get("/api/tokens").await.json();
    assert_eq!(tokens["tokens"][0]["expired"], json!(false), "{tokens}");
    assert_eq!(master.get(&format!("/api/tasks/{finished}")).await.status, 200);

    wall.0.store(0, Ordering::Relaxed);
    assert!(off(&master).await < 5_000);
    assert_eq!(master.get("/api/cluster").await.json()["problems"], json!([]));
    master.stop().await;
}
