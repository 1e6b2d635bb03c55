//! Results that a restored cluster does not know: listed, told of, and dropped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use cluster_state::MasterId;
use eventually::{PATIENCE, eventually};
use master::config::Config;
use proto::client::{Client, ClientOptions};
use proto::v1;
use raft_store::Restoration;
use serde_json::{Value, json};

use crate::event_socket::EventSocket;
use crate::one_master::{OneMaster, free_address};
use crate::worker_calls::{NOWHERE, WorkerCalls, registration};

const PATH: &str = "/api/cluster/orphans";

fn client(master: &OneMaster) -> Client {
    let options = ClientOptions { deadline: Duration::from_secs(5), ..ClientOptions::default() };
    Client::new([master.grpc().to_string()], options).unwrap()
}

/// A master that was restored from a backup with one worker and no task.
async fn restored() -> OneMaster {
    let first = OneMaster::start().await;
    let worker = json!({"worker_id": "worker-1", "address": NOWHERE});
    assert_eq!(first.post("/api/workers", &worker).await.status, 201);
    let mut stream = client(&first).save_snapshot().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await.unwrap() {
        bytes.extend_from_slice(&part);
    }
    first.stop().await;

    let (dir, address) = (tempfile::tempdir().unwrap(), free_address().await);
    let restoration = Restoration {
        data_dir: dir.path().to_owned(),
        name: MasterId(1),
        cluster_name: Config::default().cluster_name,
        members: [(MasterId(1), address.clone())].into(),
        generation: None,
        present: Vec::new(),
    };
    restoration.run(&bytes[..], |_, _| {}).unwrap();
    OneMaster::start_as(dir, |config| {
        config.initial_cluster = [(MasterId(1), address.clone())].into();
        config.grpc_listen.clone_from(&address);
        config.grpc_advertise = address;
    })
    .await
}

fn attempt(task: u64) -> v1::AttemptRef {
    v1::AttemptRef { task_id: format!("t{task}"), attempt: 1 }
}

/// Registers the worker with results of three attempts that nobody knows, and one that runs.
async fn come_back(master: &OneMaster) {
    let outcome = |code| Some(v1::finished_attempt::Outcome::ExitCode(code));
    let finished = [(2, 0), (3, 1), (4, 0)];
    let finished = finished.map(|(task, code)| v1::FinishedAttempt {
        attempt: Some(attempt(task)),
        outcome: outcome(code),
        ..v1::FinishedAttempt::default()
    });
    let registration = v1::RegisterWorkerRequest {
        finished: finished.into(),
        running: vec![attempt(5)],
        ..registration("worker-1", NOWHERE, 1, 1)
    };
    let calls = WorkerCalls::of(master).await;
    // A leader takes workers a moment after it leads; they come again until then.
    let session = eventually("the worker is let in", PATIENCE, async || {
        calls.register(registration.clone()).await.map_err(|status| status.message().to_owned())
    })
    .await;
    assert_eq!((session.confirmed.len(), &*session.kill), (3, &[attempt(5)][..]));
    assert_eq!(calls.report(&session, attempt(3), 1).await, 1, "what is known is confirmed, too");
}

fn ids(page: &Value) -> Vec<&str> {
    let orphans = page["orphans"].as_array().unwrap().iter();
    orphans.map(|orphan| orphan["orphan_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_comes_back_with_is_listed_until_it_is_dropped() {
    let master = restored().await;
    assert_eq!(
        master.get(PATH).await.json(),
        json!({"orphans": [], "next_cursor": null, "displaced": 0})
    );
    let mut events = EventSocket::watch(&master, &["cluster"]).await;
    come_back(&master).await;

    let first = master.get(&format!("{PATH}?limit=3")).await.json();
    assert_eq!((ids(&first), &first["next_cursor"]), (vec!["o1", "o2", "o3"], &json!("o3")));
    let failed = &first["orphans"][1];
    assert_eq!(
        [&failed["worker_id"], &failed["task_id"], &failed["outcome"], &failed["exit_code"]],
        [&json!("worker-1"), &json!("t3"), &json!("failed"), &json!(1)]
    );
    let rest = master.get(&format!("{PATH}?limit=3&cursor=o3")).await.json();
    assert_eq!((ids(&rest), &rest["next_cursor"]), (vec!["o4"], &Value::Null));
    assert_eq!(rest["orphans"][0]["reason"], "stopped");
    assert_eq!(master.get("/api/cluster").await.json()["orphans"], 4);
    master.until_metrics_say("cloudai_orphaned_results 4").await;
    for task in ["t2", "t3", "t4", "t5"] {
        let told = events.next().await;
        let told = [&told["type"], &told["task_id"]];
        assert_eq!(told, [&json!("orphaned_result"), &json!(task)]);
        let unknown = master.get(&format!("/api/tasks/{task}")).await;
        unknown.problem(404, "not-found");
    }

    assert_eq!(master.delete(&format!("{PATH}/o2")).await.status, 204);
    master.delete(&format!("{PATH}/o2")).await.problem(404, "not-found");
    master.delete(&format!("{PATH}/t2")).await.problem(404, "not-found");
    let dropped = master.delete(&format!("{PATH}?up_to=o3")).await.json();
    assert_eq!(dropped, json!({"dropped": 2}));
    assert_eq!(ids(&master.get(PATH).await.json()), ["o4"]);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_name_nothing_are_refused() {
    let master = restored().await;
    come_back(&master).await;
    master.delete(PATH).await.problem(400, "malformed");
    master.delete(&format!("{PATH}?up_to=t9")).await.problem(422, "invalid-value");
    master.get(&format!("{PATH}?limit=0")).await.problem(400, "malformed");
    master.get(&format!("{PATH}?cursor=t1")).await.problem(400, "malformed");

    let client = client(&master);
    let order = |ids: &[&str], up_to: Option<&str>| {
        let orphan_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        client.drop_orphans(v1::DropOrphansRequest { orphan_ids, up_to: up_to.map(str::to_owned) })
    };
    let neither = order(&[], None).await.unwrap_err().to_string();
    assert!(neither.contains("orphan_ids"), "{neither}");
    let unknown = order(&["o1", "o9"], None).await.unwrap_err().to_string();
    assert!(unknown.contains("there is no orphaned result o9"), "{unknown}");
    let page = client.orphans(v1::ListOrphansRequest::default()).await.unwrap();
    assert_eq!((page.orphans.len(), page.next_cursor), (4, None));
    assert_eq!(order(&["o1", "o4"], None).await.unwrap(), 2);
    master.stop().await;
}
