//! Events over the WebSocket of a single master.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use cluster_state::Level;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::event_socket::EventSocket;
use crate::one_master::OneMaster;
use crate::worker_session::{WorkerSession, pre_register};

fn index(event: &Value) -> u64 {
    event["index"].as_u64().unwrap()
}

/// Opens and closes a worker to tasks, which are two events.
async fn cordon_and_uncordon(master: &OneMaster, worker: &str) {
    for order in ["cordon", "uncordon"] {
        let answer = master.post(&format!("/api/workers/{worker}/{order}"), &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_worker_is_told_as_it_happens() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["workers"]).await;
    let session = WorkerSession::open(&master, "worker-1").await;
    session.say_goodbye().await;
    master.post("/api/workers/worker-1/cordon", &json!({})).await;
    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);

    let events = socket.take(5).await;
    let told = events.iter().map(|event| (event["reason"].clone(), event["is_active"].clone()));
    let expected = [
        (json!("preregistered"), json!(false)),
        (json!("registered"), json!(true)),
        (json!("shutdown"), json!(false)),
        (json!("cordoned"), json!(false)),
        (json!("unregistered"), json!(false)),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    for event in &events {
        assert_eq!(
            (&event["type"], &event["worker_id"]),
            (&json!("worker_status"), &json!("worker-1"))
        );
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    }
    assert!(events.is_sorted_by(|one, next| index(one) < index(next)), "{events:?}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_gets_everything_from_its_opening_on() {
    let master = OneMaster::start().await;
    pre_register(&master, "before").await;
    let mut socket = EventSocket::open(&master).await;
    pre_register(&master, "after").await;
    assert_eq!(socket.next().await["worker_id"], "after");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_strictly_after_the_index_it_names() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["workers"]).await;
    pre_register(&master, "worker-1").await;
    cordon_and_uncordon(&master, "worker-1").await;
    cordon_and_uncordon(&master, "worker-1").await;
    let events = socket.take(5).await;

    for (position, last) in events.iter().enumerate() {
        let mut resumed = EventSocket::resume(&master, index(last)).await;
        let rest = &events[position + 1..];
        assert_eq!(resumed.take(rest.len()).await, rest);
    }
    // What follows the newest entry is waited for, in silence.
    let mut early = EventSocket::resume(&master, index(&events[4])).await;
    cordon_and_uncordon(&master, "worker-1").await;
    assert_eq!(early.next().await["reason"], "cordoned");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resumes_too_late_is_told_so_and_goes_on() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["workers"]).await;
    pre_register(&master, "worker-1").await;
    let first = index(&socket.next().await);
    cordon_and_uncordon(&master, "worker-1").await;
    drop(socket);
    // What a process has not seen itself it cannot tell.
    let master = OneMaster::start_in(master.stop().await).await;

    let mut socket = EventSocket::resume(&master, first).await;
    let compacted = socket.next().await;
    assert_eq!(compacted["type"], "compacted");
    let oldest = compacted["oldest_index"].as_u64().unwrap();
    assert!(oldest > first + 1, "{compacted}");
    cordon_and_uncordon(&master, "worker-1").await;
    let event = socket.next().await;
    assert_eq!(event["reason"], "cordoned");
    assert!(index(&event) >= oldest);
    // From there on nothing is missing.
    let mut socket = EventSocket::resume(&master, oldest - 1).await;
    assert_eq!(socket.next().await, event);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_of_leadership_is_an_event() {
    let master = OneMaster::start().await;
    // It leads before it has said so in the log.
    let record = loop {
        let leaders = master.get("/api/cluster/leaders").await.json();
        if let Some(record) = leaders.get(0) {
            break record.clone();
        }
    };
    let (index, term) = (index(&record), &record["term"]);
    let mut socket = EventSocket::open(&master).await;
    socket.say(&json!({"subscribe": ["cluster"], "from_index": index - 1})).await;
    let event = socket.next().await;
    assert_eq!((&event["type"], &event["leader_id"]), (&json!("leader"), &json!(1)));
    assert_eq!((&event["term"], &event["index"]), (term, &json!(index)));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_makes_no_sense_closes_the_socket_with_a_reason() {
    let master = OneMaster::start().await;
    for (message, expected) in [
        (Message::text(r#"{"subscribe": ["weather"]}"#), (1008, "unknown variant `weather`")),
        (Message::text("workers"), (1008, "expected value")),
        (Message::binary(vec![1]), (1003, "messages are JSON")),
    ] {
        let mut socket = EventSocket::open(&master).await;
        socket.send(message).await;
        let (code, reason) = socket.closed().await;
        assert!(code == expected.0 && reason.starts_with(expected.1), "{code} {reason}");
    }
    let problem = master.get("/ws").await.problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().starts_with("this path speaks WebSocket"));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_stops_says_goodbye_to_its_clients() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["workers"]).await;
    let (closed, _) = tokio::join!(socket.closed(), master.stop());
    assert_eq!(closed, (1001, "this master is stopping".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_closed_and_may_resume() {
    let master = OneMaster::start_with(|config| config.limits.ws_clients = 2).await;
    let mut watching = EventSocket::watch(&master, &["workers"]).await;
    pre_register(&master, "worker-1").await;
    let first = watching.next().await;
    for _ in 0..50 {
        cordon_and_uncordon(&master, "worker-1").await;
    }
    let events = watching.take(100).await;

    let slow = TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(4_096).unwrap();
    let mut slow = EventSocket::open_with(&master, slow).await.unwrap();
    let third = EventSocket::open_with(&master, TcpSocket::new_v4().unwrap()).await;
    let Err(tungstenite::Error::Http(refused)) = third else { panic!("there was room for three") };
    assert_eq!(refused.status(), 429);

    // Asks for everything again and again, more than any buffer holds, and takes nothing.
    for _ in 0..1_000 {
        slow.say(&json!({"subscribe": ["workers"], "from_index": index(&first)})).await;
    }
    // It is the client that sleeps, for longer than the master's patience.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (code, reason) = slow.closed().await;
    let place = reason.strip_prefix("too slow: resume from_index ");
    let place = place.and_then(|place| place.parse().ok());
    assert!(code == 1013 && place.is_some(), "{code} {reason}");

    drop(watching);
    let mut resumed = EventSocket::resume(&master, place.unwrap()).await;
    let rest = events.iter().filter(|event| Some(index(event)) > place);
    let rest = rest.cloned().collect::<Vec<_>>();
    assert_eq!(resumed.take(rest.len()).await, rest);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_and_orders_about_many_tasks_are_told_of_as_they_change() {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    let mut socket = EventSocket::watch(&master, &["schedules", "jobs"]).await;
    let schedule = json!({"name": "nightly", "cron": "@daily", "task": {"command": ["true"]}});
    assert_eq!(master.post("/api/schedules", &schedule).await.status, 201);
    assert_eq!(master.post("/api/schedules/nightly/run", &json!({})).await.status, 201);
    assert_eq!(master.post("/api/tasks/cancel", &json!({"all": true})).await.status, 202);
    assert_eq!(master.delete("/api/schedules/nightly").await.status, 204);

    let (mut schedules, mut jobs) = (Vec::new(), Vec::new());
    while schedules.last() != Some(&json!("deleted")) || jobs.last() != Some(&json!("completed")) {
        let event = socket.next().await;
        match event["type"].as_str() {
            Some("schedule_status") => schedules.push(event["state"].clone()),
            Some("job_status") => jobs.push(event["state"].clone()),
            _ => panic!("nobody has asked for {event}"),
        }
    }
    assert_eq!(schedules, ["active", "active", "deleted"]);
    assert_eq!(jobs.first(), Some(&json!("running")));
    master.stop().await;
}
