//! Two workers of one name, and one that comes late.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::{Duration, Instant};

use cluster_state::{State, TaskId, WorkerId};
use master::config::Config;
use serde_json::json;
use tonic::Code;

use crate::one_master::OneMaster;
use crate::worker_calls::{NOWHERE, WorkerCalls, registration};

const ELSEWHERE: &str = "127.0.0.2:9";

fn id(worker: &str) -> WorkerId {
    worker.parse().unwrap()
}

/// A master with one connected worker that has a task, and the worker's epoch.
async fn with_a_busy_worker(
    adapt: impl FnOnce(&mut Config),
) -> (OneMaster, WorkerCalls, TaskId, u64) {
    let master = OneMaster::start_with(adapt).await;
    let calls = WorkerCalls::of(&master).await;
    let body = json!({"worker_id": "worker-1", "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    let epoch = calls.register(registration("worker-1", NOWHERE, 1, 5)).await.unwrap().epoch;
    let task = master.submit("true").await.parse::<TaskId>().unwrap();
    master.state(|state| state.load(&id("worker-1")).map(|_| ())).await;
    (master, calls, task, epoch)
}

fn attempts(state: &State, task: TaskId) -> Option<usize> {
    state.task(task).map(|task| task.attempts.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_of_a_name_is_refused_and_the_first_one_goes_on() {
    let (master, calls, task, epoch) = with_a_busy_worker(|_| {}).await;
    let before = master.applied();

    for _ in 0..3 {
        let second = registration("worker-1", ELSEWHERE, 2, 1);
        let refused = calls.register(second).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
        let expected = format!("another worker uses the name 'worker-1', at {NOWHERE}");
        assert!(refused.message().contains(&expected), "{}", refused.message());
    }

    // The first one keeps its session and its task.
    assert!(!calls.heartbeat("worker-1", epoch).await);
    assert_eq!(master.state(|state| attempts(state, task)).await, 1);
    // It is told where an operator looks, once.
    let rival = |state: &State| state.worker(&id("worker-1"))?.rival.clone();
    assert_eq!(master.state(rival).await.address, ELSEWHERE);
    assert!(master.applied().0 <= before.0 + 1, "a rival writes nothing but that");
    let shown = master.get("/api/workers/worker-1").await.json();
    let reason = format!("registered; another worker at {ELSEWHERE} wants its name");
    assert_eq!((&shown["reason"], &shown["is_active"]), (&json!(reason), &json!(true)));
    let history = master.get("/api/workers/worker-1/history").await.json();
    let contested = history["events"].as_array().unwrap().iter();
    let contested = contested.filter(|event| event["event"] == "name-contested");
    assert_eq!(contested.count(), 1, "{history}");
    let metrics = master.get("/metrics").await.body;
    let line = "cloudai_stale_rejections_total{kind=\"duplicate-name\"} 3";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_is_accepted_when_the_lease_of_the_first_is_over() {
    let short = |config: &mut Config| {
        config.worker.heartbeat_interval = Duration::from_millis(500);
        config.worker.heartbeat_timeout = Duration::from_secs(2);
        config.worker.lease = Duration::from_secs(4);
    };
    let (master, calls, task, epoch) = with_a_busy_worker(short).await;
    let last_seen = Instant::now();
    assert!(!calls.heartbeat("worker-1", epoch).await);

    let second = loop {
        match calls.register(registration("worker-1", ELSEWHERE, 2, 1)).await {
            Ok(answer) => break answer,
            Err(refused) => assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}"),
        }
    };

    assert_eq!(second.epoch, epoch + 1);
    assert!(last_seen.elapsed() >= Duration::from_secs(5), "lease and margin");
    let worker = master.state(|state| state.worker(&id("worker-1")).cloned()).await;
    assert_eq!(worker.address.as_deref(), Some(ELSEWHERE));
    let lost = master.state(|state| state.task(task)?.attempts.first()?.outcome.clone()).await;
    assert_eq!(lost.to_string(), "the worker's lease expired");
    // The first one is the second now.
    let refused = calls.register(registration("worker-1", NOWHERE, 1, 6)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_no_second_worker_and_an_earlier_start_comes_late() {
    let (master, calls, task, epoch) = with_a_busy_worker(|_| {}).await;

    let restarted = calls.register(registration("worker-1", NOWHERE, 1, 6)).await.unwrap();
    assert_eq!(restarted.epoch, epoch + 1);
    master.state(|state| attempts(state, task).filter(|count| *count == 2)).await;

    let late = calls.register(registration("worker-1", NOWHERE, 1, 5)).await.unwrap_err();
    assert_eq!(late.code(), Code::AlreadyExists, "{late:?}");
    assert!(late.message().contains("start 5"), "{}", late.message());
    assert!(!calls.heartbeat("worker-1", epoch + 1).await);
    assert_eq!(master.state(|state| attempts(state, task)).await, 2);
    master.stop().await;
}
