//! Tests of the requests that a browser may be made to send, and of what it learns from the
//! answers.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on should panic")]

use serde_json::{Value, json};

use crate::event_socket::EventSocket;
use crate::one_master::OneMaster;
use crate::worker_session::pre_register;

/// The cluster's id, which is known a moment after the first leader leads.
async fn cluster_id(master: &OneMaster) -> Value {
    loop {
        let id = master.get("/api/cluster").await.json()["cluster_id"].clone();
        if !id.is_null() {
            return id;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_somebody_else_orders_nothing() {
    let master = OneMaster::start().await;
    pre_register(&master, "worker-1").await;
    let order = "/api/workers/worker-1/drain";
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let refused = master.ask("POST", order, &[header], "").await;
        assert_eq!(refused.problem(403, "forbidden")["outcome"], "rejected");
        let refused = master.ask("GET", "/ws", &[header], "").await;
        refused.problem(403, "forbidden");
    }
    assert_eq!(master.get("/api/workers/worker-1").await.json()["scheduling"], "open");
    let own = [("origin", "http://master"), ("sec-fetch-site", "same-origin")];
    assert_eq!(master.ask("POST", order, &own, "").await.status, 200);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_it_is_and_of_which_cluster() {
    let master = OneMaster::start().await;
    let cluster = cluster_id(&master).await;
    for path in ["/livez", "/api/tasks", "/api/nothing", "/metrics"] {
        let answer = master.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(json!(answer.header("x-cluster-id")), cluster, "{path}");
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_another_cluster_is_told_at_once() {
    let master = OneMaster::start().await;
    for path in ["/api/tasks", "/api/workers"] {
        let answer = master.get(&format!("{path}?index=33126&wait=5m")).await;
        let problem = answer.problem(409, "index-ahead");
        assert!(problem["detail"].as_str().unwrap().contains("33126"), "{problem}");
    }
    // The newest index there is may be waited for.
    let newest = master.applied().0;
    let waited = master.get(&format!("/api/tasks?index={newest}&wait=10ms")).await;
    assert_eq!(waited.status, 200);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_with_an_index_of_another_cluster_is_told_and_goes_on() {
    let master = OneMaster::start().await;
    pre_register(&master, "worker-1").await;
    let cluster = cluster_id(&master).await;
    let wanted = [
        json!({"subscribe": ["workers"], "from_index": 33126}),
        json!({"subscribe": ["workers"], "from_index": 1, "cluster_id": "another"}),
    ];
    for wanted in wanted {
        let mut socket = EventSocket::open(&master).await;
        socket.say(&wanted).await;
        let told = socket.next().await;
        assert_eq!((&told["type"], &told["cluster_id"]), (&json!("compacted"), &cluster));
        let event = socket.next().await;
        assert_eq!((&event["worker_id"], &event["cluster_id"]), (&json!("worker-1"), &cluster));
        assert!(event["index"].as_u64() >= told["oldest_index"].as_u64());
    }
    master.stop().await;
}
