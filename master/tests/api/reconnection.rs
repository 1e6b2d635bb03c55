//! The reconnection monitor, with scripted workers at the other end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use eventually::{PATIENCE, eventually, require};
use master::config::Config;
use serde_json::{Value, json};

use crate::log::Log;
use crate::one_master::{OneMaster, free_address};
use crate::scripted_worker::{Script, ScriptedWorker, WhenCalled};
use crate::worker_calls::WorkerCalls;

const NEVER: Duration = Duration::from_secs(60 * 60);

async fn start(change: impl FnOnce(&mut Config)) -> OneMaster {
    OneMaster::start_with(change).await
}

async fn worker(when_called: WhenCalled) -> ScriptedWorker {
    ScriptedWorker::serve(Script { when_called, ..Script::default() }).await
}

async fn register(master: &OneMaster, id: &str, address: &str) {
    let worker = json!({"worker_id": id, "address": address});
    let answer = master.post("/api/workers", &worker).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
}

async fn metric(master: &OneMaster, name: &str) -> f64 {
    let text = master.get("/metrics").await.body;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    assert!(line.is_some(), "{name} is not in\n{text}");
    let (_, value) = line.unwrap().rsplit_once(' ').unwrap();
    value.parse().unwrap()
}

async fn reaches(master: &OneMaster, name: &str, least: f64) {
    eventually("the metric grows", PATIENCE, async || {
        let value = metric(master, name).await;
        require(value >= least, || format!("{name} is {value}"))
    })
    .await;
}

fn outcomes(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|one| (text(&one["worker_id"]), text(&one["outcome"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_worker_is_gone_to_until_it_is_there() {
    let log = Log::keep();
    let master = start(|config| {
        config.reconnect.interval = Duration::from_millis(20);
    })
    .await;
    let address = free_address().await;
    register(&master, "late", &address).await;
    reaches(&master, "cloudai_reconnect_failures_total", 3.0).await;
    assert_eq!(metric(&master, "cloudai_reconnect_successes_total").await, 0.0);
    assert_eq!(metric(&master, "cloudai_reconnect_monitor_running").await, 1.0);
    assert_eq!(log.count(&["worker=late"]), 0, "failures are expected and not logged");

    let worker = ScriptedWorker::serve_at(&address, Script::default()).await;
    worker.called(1).await;
    let success = format!("address=\"{address}\"");
    let successes = ["successfully reconnected to worker", "worker=late", &success];
    assert_eq!(log.count(&successes), 0, "it answers, but has not registered");
    WorkerCalls::of(&master).await.connect("late", &address, "").await.unwrap();
    reaches(&master, "cloudai_reconnect_successes_total", 1.0).await;
    assert!(metric(&master, "cloudai_reconnect_round_seconds_count").await >= 3.0);
    assert_eq!(log.count(&successes), 1);
    assert!(log.count(&["attempting to reconnect to 1 inactive worker(s)"]) >= 1);
    assert!(log.count(&["worker reconnection monitor started"]) >= 1);
    master.stop().await;
    assert!(log.count(&["worker reconnection monitor stopped"]) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_registers_before_it_answers_is_one_success() {
    let log = Log::keep();
    let master = start(|config| {
        config.reconnect.interval = Duration::from_millis(20);
    })
    .await;
    let worker = worker(WhenCalled::Keep).await;
    register(&master, "hasty", &worker.address).await;
    worker.called(1).await;
    WorkerCalls::of(&master).await.connect("hasty", &worker.address, "").await.unwrap();
    worker.change(|script| script.when_called = WhenCalled::Accept);
    log.reaches(&["successfully reconnected to worker", "worker=hasty"], 1).await;
    reaches(&master, "cloudai_reconnect_successes_total", 1.0).await;
    assert_eq!(metric(&master, "cloudai_reconnect_attempts_total").await, 1.0);
    assert_eq!(metric(&master, "cloudai_reconnect_failures_total").await, 0.0);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_logged_once_and_the_worker_is_gone_to_again() {
    let log = Log::keep();
    let master = start(|config| {
        config.reconnect.interval = Duration::from_millis(20);
        config.reconnect.registration_timeout = Duration::from_millis(50);
    })
    .await;
    let worker = worker(WhenCalled::Refuse).await;
    register(&master, "stubborn", &worker.address).await;
    worker.called(4).await;
    let refusal = ["worker refused to be registered", "worker=stubborn", "not your worker"];
    assert_eq!(log.count(&refusal), 1);

    worker.change(|script| script.when_called = WhenCalled::Accept);
    let idleness = ["worker was reached, but has not registered", "worker=stubborn"];
    log.reaches(&idleness, 1).await;
    let calls = worker.calls();
    worker.called(calls + 3).await;
    assert_eq!(log.count(&idleness), 1);
    assert_eq!(metric(&master, "cloudai_reconnect_successes_total").await, 0.0);
    worker.change(|script| script.when_called = WhenCalled::Refuse);
    log.reaches(&refusal, 2).await;
    let calls = worker.calls();
    worker.called(calls + 3).await;
    assert_eq!(log.count(&refusal), 2, "a new answer is news once");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_yet_to_answer_is_not_gone_to_again() {
    let master = start(|config| {
        config.reconnect.interval = Duration::from_millis(10);
        config.reconnect.attempt_timeout = Duration::from_secs(60);
    })
    .await;
    let (mute, stubborn) = (worker(WhenCalled::Keep).await, worker(WhenCalled::Refuse).await);
    register(&master, "mute", &mute.address).await;
    mute.called(1).await;

    // Round after round goes by.
    register(&master, "stubborn", &stubborn.address).await;
    stubborn.called(5).await;
    assert_eq!(mute.calls(), 1);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_answer_is_logged_once() {
    let log = Log::keep();
    let master = start(|config| {
        config.reconnect.interval = Duration::from_millis(10);
        config.reconnect.attempt_timeout = Duration::from_millis(300);
    })
    .await;
    let worker = worker(WhenCalled::Keep).await;
    register(&master, "mute", &worker.address).await;
    worker.called(3).await;
    let silence = ["worker accepts connections and does not answer", "worker=mute"];
    assert_eq!(log.count(&silence), 1);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_check_says_what_it_found_with_the_monitor_off() {
    let log = Log::keep();
    let started = log.count(&["worker reconnection monitor is disabled"]);
    let master = start(|config| {
        config.reconnect.enabled = false;
        config.reconnect.registration_timeout = Duration::from_millis(50);
    })
    .await;
    log.reaches(&["worker reconnection monitor is disabled"], started + 1).await;
    let present = worker(WhenCalled::Accept).await;
    let refusing = worker(WhenCalled::Refuse).await;
    register(&master, "absent", &free_address().await).await;
    register(&master, "present", &present.address).await;
    register(&master, "refusing", &refusing.address).await;

    let all = master.ask("POST", "/api/workers/reconnect", &[], "").await;
    assert_eq!(all.status, 200, "{}", all.body);
    let expected =
        [("absent", "unreachable"), ("present", "not-registered"), ("refusing", "refused")];
    let expected = expected.map(|(worker, outcome)| (worker.to_owned(), outcome.to_owned()));
    assert_eq!(outcomes(&all.json()), expected);
    assert_eq!(present.calls(), 1, "nobody went there unasked");

    let one = master.ask("POST", "/api/workers/absent/reconnect", &[], "").await;
    assert_eq!(outcomes(&one.json()), [("absent".to_owned(), "unreachable".to_owned())]);
    let unknown = master.ask("POST", "/api/workers/nobody/reconnect", &[], "").await;
    unknown.problem(404, "not-found");
    assert_eq!(metric(&master, "cloudai_reconnect_attempts_total").await, 4.0);
    assert_eq!(metric(&master, "cloudai_reconnect_failures_total").await, 4.0);
    assert_eq!(metric(&master, "cloudai_reconnect_monitor_enabled").await, 0.0);
    assert_eq!(metric(&master, "cloudai_reconnect_monitor_running").await, 0.0);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_check_joins_the_attempt_under_way() {
    let log = Log::keep();
    let master = start(|config| {
        config.reconnect.interval = NEVER;
        config.reconnect.attempt_timeout = NEVER;
        // It registers when the test gets to it.
        config.reconnect.registration_timeout = NEVER;
    })
    .await;
    let worker = worker(WhenCalled::Keep).await;
    register(&master, "slow", &worker.address).await;
    worker.called(1).await;

    let attempts = log.count(&["attempting to reconnect to 1 inactive worker(s)"]);
    let answers = async {
        log.reaches(&["attempting to reconnect to 1 inactive worker(s)"], attempts + 2).await;
        worker.change(|script| script.when_called = WhenCalled::Accept);
        WorkerCalls::of(&master).await.connect("slow", &worker.address, "").await.unwrap();
    };
    let (one, all, ()) = tokio::join!(
        master.ask("POST", "/api/workers/slow/reconnect", &[], ""),
        master.ask("POST", "/api/workers/reconnect", &[], ""),
        answers,
    );
    for answer in [one, all] {
        assert_eq!(outcomes(&answer.json()), [("slow".to_owned(), "reached".to_owned())]);
    }
    assert_eq!(worker.calls(), 1);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unregistering_a_worker_ends_the_attempt_under_way() {
    let master = start(|config| {
        config.reconnect.interval = NEVER;
        config.reconnect.attempt_timeout = NEVER;
    })
    .await;
    let worker = worker(WhenCalled::Keep).await;
    register(&master, "leaving", &worker.address).await;
    worker.called(1).await;
    let (asked, removed) = tokio::join!(
        master.ask("POST", "/api/workers/leaving/reconnect", &[], ""),
        master.delete("/api/workers/leaving"),
    );
    assert_eq!(removed.status, 204, "{}", removed.body);
    asked.problem(404, "not-found");
    worker.left_alone().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_moves_is_gone_to_where_it_is() {
    let master = start(|config| config.reconnect.interval = NEVER).await;
    let worker = worker(WhenCalled::Accept).await;
    register(&master, "mover", &free_address().await).await;
    reaches(&master, "cloudai_reconnect_failures_total", 1.0).await;
    register(&master, "mover", &worker.address).await;
    worker.called(1).await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_high_priority_is_gone_to_more_often() {
    let master = start(|config| {
        config.reconnect.interval = NEVER;
        let often = Duration::from_millis(20);
        config.reconnect.intervals_by_priority.insert("high".to_owned(), often);
    })
    .await;
    let (urgent, usual) = (worker(WhenCalled::Refuse).await, worker(WhenCalled::Refuse).await);
    register(&master, "usual", &usual.address).await;
    let labeled = json!({
        "worker_id": "urgent", "address": urgent.address,
        "labels": {"priority": "high"},
    });
    assert_eq!(master.post("/api/workers", &labeled).await.status, 201);
    urgent.called(5).await;
    usual.called(1).await;
    assert_eq!(usual.calls(), 1);
    master.stop().await;
}
