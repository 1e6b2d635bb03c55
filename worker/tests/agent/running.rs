//! Assigning, running, reporting, cancelling, and reading what was printed.

use std::time::Duration;

use eventually::{PATIENCE, until};
use proto::v1;
use proto::v1::finished_attempt::Outcome;
use tonic::Code;

use super::Bench;
use super::scripted_leader::{
    CLUSTER, EPOCH, Script, ScriptedLeader, assignment, attempt, client, exited,
};

const NOOP: [&str; 2] = ["--executor", "noop"];

#[tokio::test]
async fn a_called_worker_registers_runs_and_reports() {
    let bench = Bench::start(&["--cpu", "4", "--label", "zone=a"]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;

    let registration = leader.win(bench.worker).await;
    let specs = registration.specs.unwrap();
    assert_eq!(specs.total.unwrap().cpu, Some(4.0));
    assert_eq!(specs.labels["zone"], "a");
    assert_eq!(registration.address, bench.worker.to_string());

    let work = vec![assignment(1, &["/bin/true"]), assignment(2, &["/bin/sh", "-c", "exit 3"])];
    let accepted = leader.assign(bench.worker, work).await.unwrap();
    assert_eq!(accepted, [attempt(1), attempt(2)]);

    let mut results = Vec::new();
    while results.len() < 2 {
        let report = leader.reports.next().await;
        assert_eq!((report.epoch, report.worker_id.as_str()), (EPOCH, "w1"));
        results.extend(report.finished);
    }
    results.sort_by_key(|result| result.attempt.clone().unwrap().task_id);
    assert_eq!(results, [exited(1, 0), exited(2, 3)]);
}

#[tokio::test]
async fn a_result_is_reported_until_it_is_confirmed() {
    let bench = Bench::start(&NOOP).await;
    let script = Script { confirms: false, ..Script::default() };
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["x"])]).await.unwrap();

    for _ in 0..3 {
        assert_eq!(leader.reports.next().await.finished, [exited(1, 0)]);
    }
    leader.change(|script| script.confirms = true);
    let bench = bench.restart(&NOOP).await;

    assert_eq!(leader.win(bench.worker).await.finished, [], "it was settled before the shutdown");
}

#[tokio::test]
async fn an_attempt_that_is_assigned_again_runs_once() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    let trace = bench.dir.path().join("trace");
    let script = format!("echo ran >> {}", trace.display());
    let work = || vec![assignment(1, &["/bin/sh", "-c", &script])];

    for _ in 0..2 {
        assert_eq!(leader.assign(bench.worker, work()).await.unwrap(), [attempt(1)]);
    }
    leader.reports.next().await;
    assert_eq!(leader.assign(bench.worker, work()).await.unwrap(), [attempt(1)]);

    // What is assigned later ends later, so a second run would show by now.
    leader.assign(bench.worker, vec![assignment(2, &["/bin/true"])]).await.unwrap();
    assert_eq!(leader.reports.next().await.finished, [exited(2, 0)]);
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "ran\n");
}

#[tokio::test]
async fn thousands_of_attempts_are_reported_in_few_reports() {
    const COUNT: u64 = 20_000;
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;

    for batch in 0..4 {
        let tasks = batch * COUNT / 4 + 1..=(batch + 1) * COUNT / 4;
        let work = tasks.map(|task| assignment(task, &["x"])).collect();
        assert_eq!(leader.assign(bench.worker, work).await.unwrap().len(), 5_000);
    }
    let (mut results, mut reports) = (0, 0);
    while results < COUNT {
        results += leader.reports.next().await.finished.len() as u64;
        reports += 1;
    }

    assert_eq!(results, COUNT);
    assert!(reports <= COUNT / 100, "{reports} reports");
}

#[tokio::test]
async fn only_the_registration_that_stands_may_assign() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    let early = leader.assign(bench.worker, vec![assignment(1, &["x"])]).await;
    assert_eq!(early.unwrap_err().code(), Code::DeadlineExceeded, "no master has named it");

    leader.win(bench.worker).await;
    let request = v1::AssignTaskRequest {
        leader: Some(leader.header()),
        worker_id: "w1".to_owned(),
        epoch: EPOCH - 1,
        assignments: vec![assignment(1, &["x"])],
    };
    let stale = client(bench.worker).await.assign_task(request).await;

    assert_eq!(stale.unwrap_err().code(), Code::FailedPrecondition);
    assert!(leader.reports.is_silent());
}

#[tokio::test]
async fn nothing_is_taken_on_while_a_registration_is_under_way() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.change(|script| (script.registers, script.wants_registration) = (false, true));
    leader.registrations.next().await;

    let meanwhile = leader.assign(bench.worker, vec![assignment(1, &["x"])]).await;
    assert_eq!(meanwhile.unwrap_err().code(), Code::Unavailable);

    leader.change(|script| (script.registers, script.wants_registration) = (true, false));
    leader.assign_until_accepted(bench.worker, assignment(1, &["x"])).await;
    assert_eq!(leader.reports.next().await.finished, [exited(1, 0)]);
}

#[tokio::test]
async fn a_cancelled_attempt_is_asked_to_end_and_reported() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sleep", "600"])]).await.unwrap();

    let request = v1::CancelTaskRequest {
        leader: Some(leader.header()),
        worker_id: "w1".to_owned(),
        attempts: vec![attempt(1), attempt(2)],
        grace_ms: 60_000,
    };
    let answer = client(bench.worker).await.cancel_task(request).await.unwrap();

    assert_eq!(answer.into_inner().unknown, [attempt(2)]);
    let outcome = Some(Outcome::Signal(15));
    let ended = v1::FinishedAttempt {
        attempt: Some(attempt(1)),
        outcome,
        ..v1::FinishedAttempt::default()
    };
    assert_eq!(leader.reports.next().await.finished, [ended]);
}

#[tokio::test]
async fn logs_are_followed_while_an_attempt_runs_and_read_afterwards() {
    let bench = Bench::start(&["--limits-log-bytes-max", "40"]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    let script = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; seq 1000; rm -r $PWD";
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sh", "-c", script])]).await.unwrap();
    let request = v1::StreamTaskLogsRequest {
        cluster_id: CLUSTER.to_owned(),
        worker_id: "w1".to_owned(),
        attempt: Some(attempt(1)),
        stream: v1::OutputStream::Stdout.into(),
        follow: true,
        ..v1::StreamTaskLogsRequest::default()
    };
    let mut client = client(bench.worker).await;
    let mut chunks = client.stream_task_logs(request.clone()).await.unwrap().into_inner();

    let first = chunks.message().await.unwrap().unwrap();
    assert_eq!(&first.data[..], b"one\n");
    std::fs::write(bench.dir.path().join("tasks/t1/1/go"), "").unwrap();
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        rest.extend(chunk.data);
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.starts_with("two\n1\n2\n3\n4\n5\n6\n"), "{rest}");
    assert!(rest.contains(" bytes of output dropped]\n") && rest.ends_with("1000\n"), "{rest}");

    let offset = Some(first.next_offset);
    let rest =
        v1::StreamTaskLogsRequest { stdout_offset: offset, follow: false, ..request.clone() };
    let mut chunks = client.stream_task_logs(rest).await.unwrap().into_inner();
    let next = chunks.message().await.unwrap().unwrap();
    assert!(next.data.starts_with(b"two\n"), "{next:?}");

    let tail = v1::StreamTaskLogsRequest { tail_lines: Some(1), follow: false, ..request.clone() };
    let mut chunks = client.stream_task_logs(tail).await.unwrap().into_inner();
    let mut last = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        last.extend(chunk.data);
    }
    assert_eq!(last, b"1000\n");

    let other = v1::StreamTaskLogsRequest { attempt: Some(attempt(9)), ..request };
    let missing = client.stream_task_logs(other).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_ends_well_during_the_shutdown_is_reported_before_the_goodbye() {
    let mut bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    let ready = bench.dir.path().join("ready");
    let script =
        format!("trap 'exit 0' TERM; touch {}; while :; do sleep 0.02; done", ready.display());
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sh", "-c", &script])]).await.unwrap();
    until("the task is ready", PATIENCE, || ready.exists()).await;

    bench.agent.stop(Duration::from_secs(30)).await;

    assert_eq!(leader.reports.next().await.finished, [exited(1, 0)]);
    leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
}

#[tokio::test]
async fn shutdown_ends_attempts_without_a_result_and_then_says_goodbye() {
    let mut bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sleep", "600"])]).await.unwrap();

    bench.agent.stop(Duration::from_secs(30)).await;

    let last = leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
    assert_eq!((last.epoch, last.running_tasks), (EPOCH, 0));
    assert!(leader.reports.is_silent(), "the attempt did not end by itself");
    assert!(leader.heartbeats.is_silent(), "nothing follows a goodbye");
}

#[tokio::test]
async fn tools_old_and_new_can_list_the_services_and_ask_for_their_health() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::{v1, v1alpha};

    const SERVICE: &str = "cloudai.v1.WorkerService";
    let bench = Bench::start(&NOOP).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", bench.worker));
    let channel = endpoint.unwrap().connect_lazy();

    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request =
        v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let asked = futures_util::stream::iter([request]);
    let answer = old.server_reflection_info(asked).await.unwrap().into_inner().message().await;
    assert!(format!("{answer:?}").contains(SERVICE), "{answer:?}");

    let mut new = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let asked = futures_util::stream::iter([request]);
    let answer = new.server_reflection_info(asked).await.unwrap().into_inner().message().await;
    assert!(format!("{answer:?}").contains(SERVICE), "{answer:?}");

    let mut health = HealthClient::new(channel);
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
}
