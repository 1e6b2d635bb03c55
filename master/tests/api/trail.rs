//! The trail of orders: who gave them is on record, whichever protocol they speak.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use eventually::{PATIENCE, eventually, require};
use proto::client::{Client, ClientOptions};
use proto::v1;
use serde_json::{Value, json};

use crate::one_master::OneMaster;

async fn trail(master: &OneMaster, query: &str) -> Vec<Value> {
    let answer = master.get(&format!("/api/audit?order=oldest&{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["records"].as_array().unwrap().clone()
}

fn summary(record: &Value) -> [&str; 4] {
    ["principal", "action", "object", "outcome"].map(|field| record[field].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_on_record_and_reads_and_submissions_are_not() {
    let master = OneMaster::start().await;
    let worker = json!({"worker_id": "w1", "address": "127.0.0.1:9"});
    master.post_with("/api/workers", &[("x-request-id", "req-1")], &worker).await;
    master.post("/api/workers/w1/cordon", &Value::Null).await;
    master.get("/api/workers").await;
    let task = master.post("/api/tasks", &json!({"command": ["true"]})).await.json();
    let id = task["task_id"].as_str().unwrap();
    master.delete(&format!("/api/tasks/{id}")).await;
    let refused = master.post("/api/workers/w9/cordon", &Value::Null).await;
    assert_eq!(refused.status, 404);
    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    let token = v1::CreateTokenRequest { token_id: "fleet".to_owned(), ..Default::default() };
    grpc.create_token(token).await.unwrap();

    let records = trail(&master, "").await;
    let task = format!("task/{id}");
    let expected = [
        ["anonymous", "register-worker", "worker/w1", "done"],
        ["anonymous", "cordon-worker", "worker/w1", "done"],
        ["anonymous", "cancel-task", &task, "done"],
        ["anonymous", "cordon-worker", "worker/w9", "rejected"],
        ["anonymous", "create-token", "join-token/fleet", "done"],
    ];
    assert_eq!(records.iter().map(summary).collect::<Vec<_>>(), expected);
    assert_eq!(records[0]["request_id"], "req-1");
    assert!(records[0]["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(records[3]["reason"], "unknown-worker");
    let id_of_refusal = refused.json()["request_id"].clone();
    assert_eq!(records[3]["request_id"], id_of_refusal);
    assert_eq!(refused.headers["x-request-id"], id_of_refusal);

    let selected = trail(&master, "object=worker/w9&outcome=unknown-worker").await;
    assert_eq!(selected, [records[3].clone()]);
    assert!(trail(&master, "principal=user:ada").await.is_empty());
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_outside_of_the_state_is_on_record_before_and_after() {
    let master = OneMaster::start().await;
    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    drop(grpc.save_snapshot().await.unwrap());
    let removed = master.delete("/api/cluster/members/1").await;
    assert_eq!(removed.status, 409, "{}", removed.body);
    let expected = [
        ["anonymous", "save-snapshot", "snapshot", "begun"],
        ["anonymous", "remove-member", "member/1", "begun"],
        ["anonymous", "remove-member", "member/1", "rejected"],
    ];
    let records = trail(&master, "").await;
    assert_eq!(records.iter().map(summary).collect::<Vec<_>>(), expected);
    assert_eq!(records[1]["request_id"], records[2]["request_id"]);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_are_on_record_once_a_setting_says_so() {
    let master = OneMaster::start().await;
    let headers = [("content-type", "application/json")];
    let settings = json!({"audit.submissions": true, "audit.records": 100}).to_string();
    let set = master.ask("PUT", "/api/cluster/config", &headers, &settings).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let tasks = json!([{"command": ["true"]}, {"command": ["true"]}]);
    let found = eventually("a submission is on record", PATIENCE, async || {
        master.post("/api/tasks", &tasks).await;
        let records = trail(&master, "action=submit-tasks").await;
        require(!records.is_empty(), || "none is".to_owned())?;
        Ok(records)
    });
    let records = found.await;
    assert_eq!(records[0]["detail"], "2 tasks");
    assert!(records[0]["object"].as_str().unwrap().starts_with("task/t"), "{records:?}");
    let changed = trail(&master, "action=change-settings").await;
    assert_eq!(changed[0]["detail"], "audit.records audit.submissions");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_and_a_restart_keeps_them() {
    let master = OneMaster::start().await;
    for number in 0..5 {
        let body = json!({"worker_id": format!("w{number}"), "address": "127.0.0.1:9"});
        master.post("/api/workers", &body).await;
    }
    let before = trail(&master, "").await;
    let master = OneMaster::start_in(master.stop().await).await;
    assert_eq!(trail(&master, "").await, before);

    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let page = master.get(&format!("/api/audit?limit=2{cursor}")).await.json();
        seen.extend(page["records"].as_array().unwrap().clone());
        // Written meanwhile; what comes later is on no later page.
        master.post("/api/workers/w1/cordon", &Value::Null).await;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.reverse();
    assert_eq!(seen, before);
    for bad in ["limit=5000", "order=odd", "action=launch", "since=soon", "cursor=x", "color=red"] {
        let refused = master.get(&format!("/api/audit?{bad}")).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.body);
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_order_is_on_record_though_nobody_waits_for_it() {
    let master = OneMaster::start().await;
    // It takes connections and says nothing, so the order takes longer than the client waits.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let member = json!({"name": "2", "address": silent.local_addr().unwrap().to_string()});
    let asked = master.post("/api/cluster/members", &member);
    let gone = tokio::time::timeout(std::time::Duration::from_millis(100), asked).await;
    assert!(gone.is_err(), "it took no time");
    eventually("the end is on record", PATIENCE, async || {
        let records = trail(&master, "object=member/2").await;
        let outcomes = records.iter().map(|record| record["outcome"].clone()).collect::<Vec<_>>();
        require(outcomes.len() == 2 && outcomes[0] == "begun", || format!("{records:?}"))
    })
    .await;
    master.stop().await;
}
