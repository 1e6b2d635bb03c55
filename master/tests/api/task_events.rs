//! Events of tasks, over the WebSocket, as Server-Sent Events and over gRPC.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use eventually::{PATIENCE, eventually, require};
use proto::client::{Client, ClientOptions};
use proto::problem::ErrorKind;
use proto::v1;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::event_socket::EventSocket;
use crate::event_source::EventSource;
use crate::one_master::OneMaster;

async fn submit(master: &OneMaster, task: Value) -> String {
    let answer = master.post("/api/tasks", &task).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["task_id"].as_str().unwrap().to_owned()
}

async fn cancel(master: &OneMaster, task: &str) {
    assert_eq!(master.delete(&format!("/api/tasks/{task}")).await.status, 202);
}

/// Submits so many tasks at once, and returns their ids.
async fn submit_many(master: &OneMaster, count: usize) -> Vec<String> {
    let answer = master.post("/api/tasks", &json!(vec![json!({"command": ["x"]}); count])).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let ids = answer.json();
    let id = |task: &Value| task["task_id"].as_str().unwrap().to_owned();
    ids.as_array().unwrap().iter().map(id).collect()
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["task_id"].as_str().unwrap()).collect()
}

fn client(master: &OneMaster) -> Client {
    Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_told_of_alike_however_it_is_watched() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["tasks"]).await;
    let mut source = EventSource::watch(&master, "subscribe=tasks").await;
    let request =
        v1::WatchRequest { subscribe: vec!["tasks".to_owned()], ..v1::WatchRequest::default() };
    let mut stream = client(&master).watch(request).await.unwrap();

    let id = submit(&master, json!({"command": ["true"], "name": "train-7"})).await;
    cancel(&master, &id).await;
    let events = socket.take(2).await;
    let cluster = &events[0]["cluster_id"];
    assert!(cluster.is_string() && events[0]["timestamp"].is_string(), "{events:?}");
    let expected = |event: &Value, rest: Value| {
        let mut expected = json!({"type": "task_status", "task_id": id, "name": "train-7",
            "worker_id": null, "attempt": null, "cluster_id": cluster,
            "timestamp": event["timestamp"], "index": event["index"]});
        expected.as_object_mut().unwrap().append(rest.clone().as_object_mut().unwrap());
        expected
    };
    assert_eq!(events[0], expected(&events[0], json!({"state": "queued"})));
    let cancelled = json!({"state": "cancelled", "reason": "cancelled by user"});
    assert_eq!(events[1], expected(&events[1], cancelled));

    assert_eq!(source.take(2).await, events);
    for event in &events {
        let told = stream.next().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), *event);
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_hears_of_tasks_too() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::open(&master).await;
    let id = submit(&master, json!({"command": ["true"]})).await;
    // A cluster that has just begun tells of itself, too.
    let told = loop {
        let event = socket.next().await;
        if event["type"] == "task_status" {
            break event;
        }
    };
    assert_eq!(told["task_id"], id);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_of_one_entry_are_told_in_order_and_the_last_one_says_so() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["tasks"]).await;
    // More than are sent in one go.
    let submitted = submit_many(&master, 700).await;
    let events = socket.take(700).await;
    assert_eq!(ids(&events), submitted);
    let index = &events[0]["index"];
    let (last, others) = events.split_last().unwrap();
    assert!(others.iter().all(|event| event["more"] == true && event["index"] == *index));
    assert_eq!((&last["more"], &last["index"]), (&Value::Null, index));

    // As Server-Sent Events they have no id before the last one: a client that is cut off in between
    // gets the whole index again.
    let before = index.as_u64().unwrap() - 1;
    let query = format!("subscribe=tasks&from_index={before}");
    let mut source = EventSource::watch(&master, &query).await;
    assert_eq!(source.take(699).await, others);
    assert_eq!(source.last_id, Some(before.to_string()));
    assert_eq!(source.event().await, Some((Some(index.to_string()), last.clone())));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_chooses_tasks_by_id_and_by_label() {
    let master = OneMaster::start().await;
    let mut by_label = EventSocket::open(&master).await;
    by_label.say(&json!({"labels": {"team": "x"}})).await;
    let mut by_type = EventSource::watch(&master, "type=worker_status,task_status").await;
    let start = master.applied();
    let of = |team: &str| json!({"command": ["true"], "labels": {"team": team}});
    let (one, other) = (submit(&master, of("x")).await, submit(&master, of("y")).await);
    let query = format!("task={other}&from_index={start}");
    let mut by_id = EventSource::watch(&master, &query).await;
    for task in [&one, &other] {
        cancel(&master, task).await;
    }

    let states = |events: Vec<Value>| {
        let state = |event: &Value| {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            (text("task_id"), text("state"))
        };
        events.iter().map(state).collect::<Vec<_>>()
    };
    let way = |task: &str| {
        [(task.to_owned(), "queued".to_owned()), (task.to_owned(), "cancelled".to_owned())]
    };
    assert_eq!(states(by_label.take(2).await), way(&one));
    assert_eq!(states(by_id.take(2).await), way(&other));
    assert_eq!(by_type.take(4).await.len(), 4);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_resumes_after_the_last_id_and_is_refused_where_that_means_nothing() {
    let master = OneMaster::start().await;
    let mut source = EventSource::watch(&master, "subscribe=tasks").await;
    let tasks = submit_many(&master, 3).await;
    for task in &tasks {
        cancel(&master, task).await;
    }
    let mut events = Vec::new();
    while events.len() < 6 {
        events.push(source.event().await.unwrap());
    }
    for (position, (id, _)) in events.iter().enumerate() {
        // Of the first three the last one alone has an id of its own.
        let seen = if position < 2 { 0 } else { position + 1 };
        let id = [("last-event-id", id.as_deref().unwrap())];
        let rest = events[seen..].iter().map(|(_, event)| event.clone()).collect::<Vec<_>>();
        // A browser's own header counts before the first request of its page.
        let query = "subscribe=tasks&from_index=999999999";
        let mut resumed = EventSource::open(&master, query, &id).await.unwrap();
        assert_eq!(resumed.take(rest.len()).await, rest);
    }

    for (query, status, kind) in [
        ("from_index=999999999", "409", "index-ahead"),
        ("from_index=1&cluster_id=another", "409", "index-ahead"),
        ("from=7", "400", "unknown-field"),
        ("subscribe=weather", "400", "malformed"),
        ("task=17", "400", "malformed"),
    ] {
        let (answer, body) = EventSource::open(&master, query, &[]).await.err().unwrap();
        assert!(answer.contains(status) && body.contains(kind), "{query}: {answer} {body}");
    }
    let ahead = v1::WatchRequest { from_index: Some(999_999_999), ..v1::WatchRequest::default() };
    let refused = client(&master).watch(ahead).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::IndexAhead);
    let wrong = v1::WatchRequest { types: vec!["storm".to_owned()], ..v1::WatchRequest::default() };
    let refused = client(&master).watch(wrong).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Malformed);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_bounds_which_tasks_are_told_of() {
    let master = OneMaster::start().await;
    let create = async |body: Value| {
        let created = master.post("/api/users/tokens", &body).await;
        assert_eq!(created.status, 201, "{}", created.body);
        format!("Bearer {}", created.json()["token"].as_str().unwrap())
    };
    let scoped = create(json!({"user": "ci", "role": "submitter", "scope": "team=blue"})).await;
    let start = master.applied();
    let of = |team: &str| json!({"command": ["true"], "labels": {"team": team}});
    let red = submit(&master, of("red")).await;
    let blue = submit(&master, of("blue")).await;
    submit(&master, json!({"command": ["true"]})).await;

    let authorized = [("authorization", scoped.as_str())];
    let query = format!("subscribe=tasks&from_index={start}");
    let mut source = EventSource::open(&master, &query, &authorized).await.unwrap();
    assert_eq!(source.event().await.unwrap().1["task_id"], blue);
    // Not even by its id.
    let query = format!("task={red},{blue}&from_index={start}");
    let mut source = EventSource::open(&master, &query, &authorized).await.unwrap();
    cancel(&master, &red).await;
    cancel(&master, &blue).await;
    assert_eq!(ids(&source.take(2).await), [&blue, &blue]);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_watch_share_one_bound() {
    let master = OneMaster::start_with(|config| config.limits.ws_clients = 2).await;
    let source = EventSource::watch(&master, "").await;
    let stream = client(&master).watch(v1::WatchRequest::default()).await.unwrap();
    let socket = EventSocket::open_with(&master, TcpSocket::new_v4().unwrap()).await;
    assert!(socket.is_err(), "there was room for three");
    let (answer, body) = EventSource::open(&master, "", &[]).await.err().unwrap();
    assert!(answer.contains("429") && body.contains("overloaded"), "{answer} {body}");

    drop((source, stream));
    eventually("they have gone", PATIENCE, async || {
        let opened = EventSource::open(&master, "", &[]).await;
        require(opened.is_ok(), || "there is no room".to_owned())
    })
    .await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_stops_ends_streams_with_the_reason() {
    let master = OneMaster::start().await;
    let mut source = EventSource::watch(&master, "").await;
    let ended = async {
        let last = source.event().await.unwrap().1;
        (last, source.event().await)
    };
    let ((last, nothing), _) = tokio::join!(ended, master.stop());
    assert_eq!(last, json!({"type": "closed", "reason": "this master is stopping"}));
    assert_eq!(nothing, None);
}
