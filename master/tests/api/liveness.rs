//! Tests of workers that fall silent or are unregistered, and of their tasks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use cluster_state::{Command, LeaseTimes, State, TaskId, TaskState, Timestamp, WorkerId};
use eventually::{PATIENCE, eventually, require};
use futures_util::future::join_all;
use master::config::Config;
use proto::convert::Registration;
use proto::v1;
use serde_json::json;

use crate::one_master::OneMaster;
use crate::scripted_worker::{Script, ScriptedWorker, WhenDismissed};
use crate::worker_calls::{NOWHERE, WorkerCalls, registration};

fn id(worker: &str) -> WorkerId {
    worker.parse().unwrap()
}

/// A master with one connected worker at that address, and the worker's session.
async fn with_worker(
    adapt: impl FnOnce(&mut Config),
    address: &str,
) -> (OneMaster, WorkerCalls, u64) {
    let master = OneMaster::start_with(adapt).await;
    let calls = WorkerCalls::of(&master).await;
    let body = json!({"worker_id": "worker-1", "address": address});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    let epoch = calls.connect("worker-1", address, "").await.unwrap().epoch;
    (master, calls, epoch)
}

/// A worker that accepts everything, and answers so when it is dismissed.
async fn dismissed(when_dismissed: WhenDismissed) -> ScriptedWorker {
    ScriptedWorker::serve(Script { when_dismissed, ..Script::default() }).await
}

/// Three seconds of silence are too many.
fn impatient(config: &mut Config, lease: Duration) {
    config.worker.heartbeat_interval = Duration::from_millis(500);
    config.worker.heartbeat_timeout = Duration::from_secs(3);
    config.worker.lease = lease;
}

fn nobody_departed(state: &State) -> Option<()> {
    (state.departed().len() == 0).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_worker_is_told_at_once_and_forgotten() {
    let mut worker = dismissed(WhenDismissed::Obey).await;
    let (master, calls, epoch) = with_worker(|_| {}, &worker.address).await;
    assert!(!calls.heartbeat("worker-1", epoch).await);

    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);

    let told = worker.dismissals.next().await;
    assert_eq!(told.worker_id, "worker-1");
    assert_eq!(told.leader.unwrap().leader_id, 1);
    master.state(nobody_departed).await;
    assert!(worker.dismissals.is_silent(), "it was told twice");
    // Its lease is forgotten with it: under its name nobody has been heard from.
    let body = json!({"worker_id": "worker-1", "address": NOWHERE});
    let again = master.post("/api/workers", &body).await.json();
    assert_eq!(again["last_heartbeat"], json!(null));
    assert!(calls.heartbeat("worker-1", epoch).await);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_worker_at_the_address_of_another_is_forgotten() {
    let mut worker = dismissed(WhenDismissed::Refuse).await;
    let (master, _, _) = with_worker(|_| {}, &worker.address).await;
    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);
    worker.dismissals.next().await;
    master.state(nobody_departed).await;
    master.stop().await;
}

/// Waits until the worker is given the task, and takes the worker off the registry.
async fn unregister_with_a_task(master: &OneMaster) -> TaskId {
    let task = master.submit("true").await.parse::<TaskId>().unwrap();
    master.state(|state| state.load(&id("worker-1")).map(|_| ())).await;
    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);
    master.get("/api/workers/worker-1").await.problem(404, "not-found");
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_an_unregistered_worker_wait_until_nothing_runs_there() {
    let mut worker = dismissed(WhenDismissed::ObeyAfter(3)).await;
    let (master, _, epoch) = with_worker(|_| {}, &worker.address).await;
    let task = unregister_with_a_task(&master).await;

    for _ in 0..2 {
        let told = worker.dismissals.next().await;
        assert_eq!(told.epoch, epoch);
        let is_waiting =
            |state: &State| state.task(task).is_some_and(|one| one.live_attempt().is_some());
        assert!(master.state(|state| Some(is_waiting(state))).await, "it may still run");
    }
    let queued = master
        .state(|state| state.task(task).filter(|one| one.state == TaskState::Queued).cloned())
        .await;
    let outcome = queued.last_attempt().unwrap().outcome.clone().unwrap();
    assert_eq!(outcome.to_string(), "the worker was unregistered");
    worker.dismissals.next().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_an_unregistered_worker_that_is_not_there_wait_for_its_lease() {
    let short = |config: &mut Config| impatient(config, Duration::from_secs(3));
    let worker = dismissed(WhenDismissed::Refuse).await;
    let (master, _, _) = with_worker(short, &worker.address).await;
    let task = unregister_with_a_task(&master).await;
    let departed_at = master.state(|state| state.departed().next().map(|one| one.at)).await;

    let queued = master
        .state(|state| state.task(task).filter(|one| one.state == TaskState::Queued).cloned())
        .await;

    let ended_at = queued.last_attempt().unwrap().finished_at.unwrap();
    assert!(ended_at.since(departed_at) >= Duration::from_secs(4), "another listens there");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_registered_again_before_it_was_told_keeps_its_tasks() {
    let (master, calls, epoch) = with_worker(|_| {}, NOWHERE).await;
    let task = unregister_with_a_task(&master).await;
    let body = json!({"worker_id": "worker-1", "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);

    let running = vec![v1::AttemptRef { task_id: task.to_string(), attempt: 1 }];
    let request = v1::RegisterWorkerRequest { running, ..registration("worker-1", NOWHERE, 1, 1) };
    let answer = calls.register(request).await.unwrap();

    assert_eq!((answer.epoch, answer.kill), (epoch + 1, vec![]));
    let state = master.state(|state| state.task(task).map(|task| task.state)).await;
    assert_eq!(state, TaskState::Running);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_active_without_a_call_falls_silent() {
    let master = OneMaster::start_with(|config| impatient(config, Duration::from_secs(3))).await;
    let body = json!({"worker_id": "worker-1", "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    let task = master.submit("true").await.parse::<TaskId>().unwrap();

    // As if the worker had died, and its call with it, when its registration was committed.
    let registration = Registration::try_from(registration("worker-1", NOWHERE, 1, 1)).unwrap();
    let granted = LeaseTimes {
        heartbeat_interval: Duration::from_millis(500),
        heartbeat_timeout: Duration::from_secs(3),
        lease: Duration::from_secs(3),
    };
    master.propose(|term| Command::ConnectWorker(registration.into_command(term, granted))).await;

    let inactive = |state: &State| {
        let worker = state.worker(&id("worker-1"))?;
        (!worker.is_active() && worker.process.is_some()).then(|| worker.reason.to_string())
    };
    assert_eq!(master.state(inactive).await, "heartbeat-timeout");
    master
        .state(|state| {
            state
                .task(task)
                .filter(|one| one.state == TaskState::Queued && !one.attempts.is_empty())
                .map(|_| ())
        })
        .await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_seen_through_when_its_call_is_dropped() {
    let (master, calls, epoch) = with_worker(|_| {}, NOWHERE).await;
    assert!(!calls.heartbeat("worker-1", epoch).await);
    let mut registering = Box::pin(calls.register(registration("worker-1", NOWHERE, 1, 2)));

    // The call is dropped as soon as the state has it.
    let replaced = master.state(|state| {
        state.worker(&id("worker-1")).filter(|worker| worker.epoch.0 == epoch + 1).map(|_| ())
    });
    tokio::select! {
        biased;
        () = replaced => {}
        answer = &mut registering => drop(answer.unwrap()),
    }
    drop(registering);

    eventually("the session stands", PATIENCE, async || {
        let is_unknown = calls.heartbeat("worker-1", epoch + 1).await;
        require(!is_unknown, || "the worker is to register again".to_owned())
    })
    .await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_judged_by_what_it_was_granted() {
    let short = |config: &mut Config| impatient(config, Duration::from_secs(3));
    let (master, _, _) = with_worker(short, NOWHERE).await;
    let task = master.submit("true").await.parse::<TaskId>().unwrap();
    master.state(|state| state.load(&id("worker-1")).map(|_| ())).await;
    let dir = master.stop().await;

    // The next leader has other times in its file, and would wait for minutes.
    let master = OneMaster::start_in(dir).await;
    let queued = master
        .state(|state| state.task(task).filter(|one| one.state == TaskState::Queued).cloned())
        .await;

    let outcome = queued.last_attempt().unwrap().outcome.clone().unwrap();
    assert_eq!(outcome.to_string(), "the worker's lease expired");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_heartbeat_before_a_silence_outlives_its_leader() {
    let short = |config: &mut Config| impatient(config, Duration::from_secs(3));
    let last_heartbeat = async |master: &OneMaster| {
        master.get("/api/workers/worker-1").await.json()["last_heartbeat"].clone()
    };
    let (master, _, epoch) = with_worker(short, NOWHERE).await;
    assert!(last_heartbeat(&master).await.is_string(), "a registration is a sign of life");

    // The next leader has not heard it yet, and does not know what the one before had heard.
    let master = OneMaster::start_in(master.stop().await).await;
    assert_eq!(last_heartbeat(&master).await, json!(null));
    assert!(!WorkerCalls::of(&master).await.heartbeat("worker-1", epoch).await);
    assert!(last_heartbeat(&master).await.is_string());
    let silent = |state: &State| {
        let worker = state.worker(&id("worker-1")).filter(|worker| !worker.is_active())?;
        Some(worker.changed_at.since(worker.last_heard?))
    };
    let silence = master.state(silent).await;
    assert!(silence >= Duration::from_millis(2_900), "{silence:?}");

    let on_record = last_heartbeat(&master).await;
    assert!(on_record.is_string());
    let master = OneMaster::start_in(master.stop().await).await;
    assert_eq!(last_heartbeat(&master).await, on_record);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_worker_that_is_gone_is_forgotten_when_its_lease_is_over() {
    let short = |config: &mut Config| impatient(config, Duration::from_secs(3));
    let (master, _, _) = with_worker(short, NOWHERE).await;
    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);
    let departed_at = master.state(|state| state.departed().next().map(|one| one.at)).await;
    let forgotten_at = master.state(|state| nobody_departed(state).map(|()| state.meta().now));
    assert!(forgotten_at.await.since(departed_at) >= Duration::from_secs(4));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_wrong_about_the_term_costs_one_confirmation() {
    let mut worker = dismissed(WhenDismissed::ObeyTerm(1_000)).await;
    let (master, calls, _) = with_worker(|_| {}, &worker.address).await;
    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);
    // Told again by the duties that run after the leader's barrier was committed once more.
    for _ in 0..2 {
        worker.dismissals.next().await;
    }
    let body = json!({"worker_id": "worker-2", "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    calls.connect("worker-2", NOWHERE, "").await.unwrap();
    let task = master.submit("true").await.parse::<TaskId>().unwrap();
    let assigned = |state: &State| {
        state.task(task).filter(|task| task.state == TaskState::Assigned).map(|_| ())
    };
    master.state(assigned).await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_wait_leaves_a_silent_worker_before_its_lease_ends() {
    let long = |config: &mut Config| impatient(config, Duration::from_secs(300));
    let (master, calls, _) = with_worker(long, NOWHERE).await;
    let resources = json!({"cpu": 0.5});
    let tasks = json!([
        {"command": ["true"], "resources": resources, "on_disconnect": "requeue"},
        {"command": ["true"], "resources": resources},
    ]);
    let submitted = master.post("/api/tasks", &tasks).await;
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    master
        .state(|state| {
            state.load(&id("worker-1")).filter(|load| load.attempts.len() == 2).map(|_| ())
        })
        .await;

    let connected_at =
        master.state(|state| state.worker(&id("worker-1")).map(|worker| worker.changed_at)).await;

    let eager = master
        .state(|state| {
            state.task(TaskId(1)).filter(|task| task.state == TaskState::Queued).cloned()
        })
        .await;

    let attempt = eager.last_attempt().unwrap();
    assert_eq!(attempt.outcome.as_ref().unwrap().to_string(), "the worker was disconnected");
    // The heartbeat timeout, and a second for its processes to be gone.
    let waited = attempt.finished_at.unwrap().since(connected_at);
    assert!(waited >= Duration::from_millis(3_900), "{waited:?}");
    let kept = master.state(|state| state.task(TaskId(2)).cloned()).await;
    assert_eq!(kept.state, TaskState::Assigned);
    // It comes back in time and goes on.
    assert_eq!(calls.connect("worker-1", NOWHERE, "").await.unwrap().epoch, 2);
    let kept = master.state(|state| state.task(TaskId(2)).cloned()).await;
    assert_eq!(kept.attempts.len(), 1);
    master.stop().await;
}

/// A master that has lost six workers with a task each at once: all of them are inactive.
async fn after_a_mass_loss(requeue_rate: u64) -> OneMaster {
    let adapt = |config: &mut Config| {
        impatient(config, Duration::from_secs(3));
        config.worker.mass_loss_requeue_rate = requeue_rate;
    };
    let master = OneMaster::start_with(adapt).await;
    let calls = WorkerCalls::of(&master).await;
    let workers = (1..=6).map(|number| format!("worker-{number}")).collect::<Vec<_>>();
    for worker in &workers {
        let body = json!({"worker_id": worker, "address": NOWHERE});
        assert_eq!(master.post("/api/workers", &body).await.status, 201);
    }
    let tasks = workers.iter().map(|_| json!({"command": ["true"]})).collect::<Vec<_>>();
    assert_eq!(master.post("/api/tasks", &json!(tasks)).await.status, 201);
    let connected = join_all(workers.iter().map(|worker| calls.connect(worker, NOWHERE, ""))).await;
    assert!(connected.iter().all(Result::is_ok));
    master.state(|state| (state.loads().count() == 6).then_some(())).await;
    master.state(|state| (state.inactive_count() == 6).then_some(())).await;
    master
}

/// When each of the six tasks was queued again.
async fn requeued(master: &OneMaster) -> Vec<Timestamp> {
    master
        .state(|state| {
            let tasks = (1..=6).map(|number| state.task(TaskId(number)));
            tasks.map(|task| task?.last_attempt()?.finished_at).collect::<Option<Vec<_>>>()
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_queued_again_slowly_in_a_mass_loss_until_it_is_over() {
    let master = after_a_mass_loss(2).await;
    let alarm = master.get("/api/cluster").await.json()["mass_loss"].clone();
    assert!(alarm["lost"].as_u64().unwrap() >= 4, "{alarm}");
    assert_eq!(alarm["of"], 6, "{alarm}");

    let mut times = requeued(&master).await;
    times.sort();

    // Two in each second.
    assert!(times[5].since(times[0]) >= Duration::from_millis(1_900), "{times:?}");
    assert!(times[3].since(times[0]) >= Duration::from_millis(900), "{times:?}");
    master.state(|state| state.mass_loss().is_none().then_some(())).await;
    assert_eq!(master.get("/api/cluster").await.json()["mass_loss"], json!(null));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_mass_loss_slows_nothing_down() {
    let master = after_a_mass_loss(1).await;
    let none = json!({});
    assert_eq!(master.post("/api/cluster/mass-loss/acknowledge", &none).await.status, 200);
    let mut times = requeued(&master).await;
    times.sort();
    assert!(times[5].since(times[0]) < Duration::from_millis(4_900), "{times:?}");
    master.stop().await;
}
