//! The queue: summed up, and explained task by task, over REST and gRPC.

use cluster_state::Level;
use proto::client::{Client, ClientOptions};
use serde_json::{Value, json};

use crate::one_master::OneMaster;

async fn submit(master: &OneMaster, count: usize, task: &Value) {
    assert_eq!(master.post("/api/tasks", &json!(vec![task; count])).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_summed_up() {
    let master = OneMaster::start().await;
    let empty = json!({
        "states": {}, "priorities": [], "class_count": 0, "classes": [],
        "oldest_task_id": null, "oldest_queued_at": null,
    });
    assert_eq!(master.get("/api/queue").await.json(), empty);

    let zone = json!([{"label": "zone", "op": "in", "value": ["a", "b"]}]);
    submit(&master, 2, &json!({"command": ["a"], "priority": 90})).await;
    submit(&master, 3, &json!({"command": ["b"], "constraints": zone})).await;
    submit(&master, 1, &json!({"command": ["c"], "worker_id": "w9"})).await;
    let queue = master.get("/api/queue").await.json();
    assert_eq!(queue["states"], json!({"queued": 6}));
    assert_eq!(
        queue["priorities"],
        json!([{"priority": 90, "tasks": 2}, {"priority": 50, "tasks": 4}])
    );
    assert_eq!(queue["class_count"], 3);
    assert_eq!(queue["oldest_task_id"], "t1");
    let classes = queue["classes"].as_array().unwrap();
    let shown = classes.iter().map(|class| json!([class["tasks"], class["next_task_id"]]));
    assert_eq!(json!(shown.collect::<Vec<_>>()), json!([[3, "t3"], [2, "t1"], [1, "t6"]]));
    assert_eq!(classes[0]["constraints"], zone);
    assert_eq!(classes[0]["pending_reason"], "no worker is registered");
    assert_eq!(classes[2]["worker_id"], "w9");

    let longest = master.get("/api/queue?limit=1").await.json();
    assert_eq!(longest["classes"], json!([classes[0]]));
    assert_eq!(longest["class_count"], 3);
    master.get("/api/queue?limit=1001").await.problem(400, "malformed");
    master.get("/api/queue?limits=1").await.problem(400, "unknown-field");

    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    assert_eq!(serde_json::to_value(grpc.queue(20).await.unwrap()).unwrap(), queue);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_is_the_one_that_was_queued_first() {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    submit(&master, 1, &json!({"command": ["a"], "priority": 90})).await;
    submit(&master, 2, &json!({"command": ["a"]})).await;
    assert_eq!(master.delete("/api/tasks/t1").await.status, 202);
    assert_eq!(master.delete("/api/tasks/t2").await.status, 202);
    for id in ["t1", "t2"] {
        let retried = master.post(&format!("/api/tasks/{id}/retry"), &json!(null)).await;
        assert_eq!(retried.status, 202, "{}", retried.body);
    }

    let queue = master.get("/api/queue").await.json();
    let submitted_at = master.get("/api/tasks/t3").await.json()["submitted_at"].clone();
    assert_eq!(
        [&queue["oldest_task_id"], &queue["oldest_queued_at"]],
        [&json!("t3"), &submitted_at]
    );
    let next = queue["classes"].as_array().unwrap().iter();
    let next = next.map(|class| [class["next_task_id"].clone(), class["next_queued_at"].clone()]);
    let [first, second] = <[_; 2]>::try_from(next.collect::<Vec<_>>()).unwrap();
    assert_eq!(first, [json!("t3"), submitted_at.clone()]);
    assert_eq!(second[0], "t1");
    assert!(second[1].as_str() > submitted_at.as_str(), "{queue}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_classes_than_one_look_takes_are_all_counted() {
    let master = OneMaster::start().await;
    let tasks = (0..2_500).map(|cpu| json!({"command": ["a"], "resources": {"cpu": cpu}}));
    let tasks = tasks.collect::<Vec<_>>();
    assert_eq!(master.post("/api/tasks", &json!(tasks)).await.status, 201);
    submit(&master, 7, &json!({"command": ["a"], "resources": {"cpu": 1_234}})).await;
    let queue = master.get("/api/queue?limit=2").await.json();
    assert_eq!(queue["class_count"], 2_500);
    assert_eq!(queue["priorities"], json!([{"priority": 50, "tasks": 2_507}]));
    assert_eq!(queue["classes"][0]["tasks"], 8);
    assert_eq!(queue["classes"][1]["tasks"], 1);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_task_is_explained() {
    let master = OneMaster::start().await;
    let at_b = json!([{"label": "zone", "op": "=", "value": "b"}]);
    submit(&master, 1, &json!({"command": ["true"], "constraints": at_b})).await;
    for (name, zone) in [("w1", "a"), ("w2", "a"), ("w3", "b")] {
        let worker = json!({"worker_id": name, "address": "127.0.0.1:9", "labels": {"zone": zone}});
        assert_eq!(master.post("/api/workers", &worker).await.status, 201);
    }
    let explained = master.get("/api/tasks/t1/explain").await.json();
    let expected = json!({
        "task_id": "t1", "state": "queued",
        "pending_reason": "none of the 1 workers that may run it is active",
        "workers": 3, "fitting": 0, "position": 0,
        "obstacles": [
            {
                "obstacle": "constraint", "detail": "zone = b", "workers": 2,
                "examples": ["w1", "w2"],
                "remedy": "label one of these zone=b, or submit the task without the constraint",
            },
            {
                "obstacle": "inactive", "detail": null, "workers": 1, "examples": ["w3"],
                "remedy": "start one of these, or find out why no leader reaches it: clusterctl \
                           worker history",
            },
        ],
    });
    assert_eq!(explained, expected);
    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    assert_eq!(serde_json::to_value(grpc.explain("t1").await.unwrap()).unwrap(), expected);

    // A task that does not wait has nothing to explain, and one that is not there is told so.
    master.delete("/api/tasks/t1").await;
    let cancelled = master.get("/api/tasks/t1/explain").await.json();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!([&cancelled["workers"], &cancelled["obstacles"]], [&json!(null), &json!([])]);
    master.get("/api/tasks/t9/explain").await.problem(404, "not-found");
    master.get("/api/tasks/9/explain").await.problem(404, "not-found");
    master.stop().await;
}
