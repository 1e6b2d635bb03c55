//! Orders that are refused, that find no room, or that reach nobody.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::{Duration, Instant};

use cluster_state::WorkerState;
use serde_json::json;

use crate::one_master::{OneMaster, free_address};
use crate::scripted_worker::{Order, Script, ScriptedWorker, WhenAssigned, WhenCancelled};
use crate::worker_calls::WorkerCalls;

/// A worker that answers assignments so, and knows nothing that it is to stop.
async fn worker_at(address: &str, when_assigned: WhenAssigned) -> ScriptedWorker {
    let when_cancelled = WhenCancelled::KnowNone;
    ScriptedWorker::serve_at(address, Script { when_assigned, when_cancelled, ..Script::default() })
        .await
}

async fn register(master: &OneMaster, id: &str, address: &str) {
    let worker = json!({"worker_id": id, "address": address});
    let answer = master.post("/api/workers", &worker).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

async fn stands(master: &OneMaster, worker: &str, wanted: WorkerState) {
    let id = worker.parse().unwrap();
    master.state(|state| state.worker(&id).filter(|one| one.state() == wanted).map(drop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_called_gives_back_what_it_was_given() {
    let master =
        OneMaster::start_with(|config| config.worker.unreachable_after = Duration::ZERO).await;
    let (calls, address) = (WorkerCalls::of(&master).await, free_address().await);
    register(&master, "deaf", &address).await;
    let epoch = calls.connect("deaf", &address, "").await.unwrap().epoch;
    let id = master.submit("true").await;
    stands(&master, "deaf", WorkerState::Unreachable).await;

    let shown = master.get("/api/workers/deaf").await.json();
    assert_eq!((&shown["state"], &shown["is_active"]), (&json!("unreachable"), &json!(true)));
    assert!(shown["reason"].as_str().unwrap().contains("refused"), "{shown}");
    let task = master.get(&format!("/api/tasks/{id}")).await.json();
    let reason = format!("deaf cannot be told: {}", shown["reason"].as_str().unwrap());
    assert!(task["pending_reason"].as_str().unwrap().starts_with(&reason), "{task}");
    master.until_metrics_say("cloudai_workers{state=\"unreachable\"} 1").await;

    // Its own heartbeats go on, and ask it what it has.
    assert!(calls.heartbeat("deaf", epoch).await);
    let newer = calls.connect("deaf", &address, "").await.unwrap().epoch;
    assert!(newer > epoch, "what was sent before is refused from now on");
    assert!(!calls.heartbeat("deaf", newer).await);
    let task = master.get(&format!("/api/tasks/{id}")).await.json();
    assert_eq!(task["state"], "queued");
    assert_eq!(
        task["pending_reason"],
        "all 1 active workers that may run it are unreachable or unfit"
    );
    stands(&master, "deaf", WorkerState::Unreachable).await;

    let mut worker = worker_at(&address, WhenAssigned::Accept).await;
    stands(&master, "deaf", WorkerState::Active).await;
    assert_eq!(worker.orders.next().await, Order::Assign(1));
    let history = master.get("/api/workers/deaf/history").await.json();
    let events = history["events"].as_array().unwrap().iter();
    let events = events.map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(events, ["registered", "connected", "unreachable", "reachable"]);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_have_an_unreachable_worker_tried_at_once() {
    let master =
        OneMaster::start_with(|config| config.worker.unreachable_after = Duration::ZERO).await;
    let (calls, address) = (WorkerCalls::of(&master).await, free_address().await);
    register(&master, "deaf", &address).await;
    calls.connect("deaf", &address, "").await.unwrap();
    master.submit("true").await;
    stands(&master, "deaf", WorkerState::Unreachable).await;

    let reconnect = "/api/workers/deaf/reconnect";
    let failed = master.ask("POST", reconnect, &[], "").await.json();
    assert_eq!(failed["results"][0]["outcome"], "unreachable");
    let _worker = worker_at(&address, WhenAssigned::Accept).await;
    let outcome = master.ask("POST", reconnect, &[], "").await.json();
    let outcome = outcome["results"][0]["outcome"].as_str().unwrap();
    assert!(["reached", "active"].contains(&outcome), "{outcome}");
    stands(&master, "deaf", WorkerState::Active).await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_says_it_is_unfit_gets_nothing_until_it_does_not() {
    let master = OneMaster::start().await;
    let (calls, address) = (WorkerCalls::of(&master).await, free_address().await);
    let mut worker = worker_at(&address, WhenAssigned::Accept).await;
    register(&master, "sick", &address).await;
    let epoch = calls.connect("sick", &address, "").await.unwrap().epoch;

    assert!(!calls.heartbeat_saying("sick", epoch, Some("disk-full")).await);
    stands(&master, "sick", WorkerState::Unfit).await;
    let shown = master.get("/api/workers/sick").await.json();
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("unfit"), &json!("disk-full")));
    master.submit("true").await;
    assert!(!calls.heartbeat_saying("sick", epoch, Some("disk-full")).await);
    assert!(worker.orders.is_silent());

    assert!(!calls.heartbeat_saying("sick", epoch, None).await);
    assert_eq!(worker.orders.next().await, Order::Assign(1));
    stands(&master, "sick", WorkerState::Active).await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_room_is_left_alone_for_a_while() {
    let master = OneMaster::start().await;
    let (calls, address) = (WorkerCalls::of(&master).await, free_address().await);
    let mut worker = worker_at(&address, WhenAssigned::LeaveOut).await;
    register(&master, "full", &address).await;
    calls.connect("full", &address, "").await.unwrap();
    let id = master.submit("true").await;

    assert_eq!(worker.orders.next().await, Order::Assign(1));
    let asked_at = Instant::now();
    for _ in 0..2 {
        assert_eq!(worker.orders.next().await, Order::Assign(1));
    }
    assert!(asked_at.elapsed() >= Duration::from_millis(900), "{:?}", asked_at.elapsed());
    let task = master.get(&format!("/api/tasks/{id}")).await.json();
    let reason = "full does not carry out its orders: it has no room for all the attempts that it \
                  is given, since ";
    assert!(task["pending_reason"].as_str().unwrap().starts_with(reason), "{task}");
    let listed = master.get("/api/tasks").await.json();
    assert_eq!(listed["tasks"][0]["pending_reason"], task["pending_reason"]);
    master.until_metrics_say("cloudai_dispatch_failures_total{reason=\"no-room\"} 3").await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_stop_is_delivered_though_others_are_refused() {
    let master = OneMaster::start().await;
    let (calls, address) = (WorkerCalls::of(&master).await, free_address().await);
    let mut worker = worker_at(&address, WhenAssigned::Refuse).await;
    register(&master, "stubborn", &address).await;
    calls.connect("stubborn", &address, "").await.unwrap();
    let small = json!({"command": ["true"], "resources": {"cpu": 0.5}});
    let answer = master.post("/api/tasks", &json!([small, small])).await;
    let first = answer.json()[0]["task_id"].as_str().unwrap().to_owned();
    assert_eq!(worker.orders.next().await, Order::Assign(2));

    // When it is called again, what became of the first call is known.
    assert_eq!(worker.orders.next().await, Order::Assign(2));
    let task = master.get(&format!("/api/tasks/{first}")).await.json();
    let reason = "stubborn does not carry out its orders: ";
    assert!(task["pending_reason"].as_str().unwrap().starts_with(reason), "{task}");

    assert_eq!(master.delete(&format!("/api/tasks/{first}")).await.status, 202);
    while worker.orders.next().await != Order::Cancel(1) {}
    let waited = master.get(&format!("/api/tasks/{first}/wait?timeout=20s")).await.json();
    assert_eq!(waited["state"], "cancelled");
    stands(&master, "stubborn", WorkerState::Active).await;
    master.stop().await;
}
