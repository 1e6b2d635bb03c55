//! Lists and pages whose elements are many or large.

use std::collections::BTreeSet;

use proto::problem::{ErrorKind, Problem};
use proto::v1;
use proto::v1::task_service_client::TaskServiceClient;
use serde_json::json;

use crate::one_master::OneMaster;

/// Of each page, in bytes, with what every task takes beside what it was submitted with.
const PAGE_BYTES_MAX: usize = 6 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_large_tasks_are_cut_by_their_size_and_miss_none() {
    let master = OneMaster::start().await;
    let task = json!({"command": ["true", "x".repeat(100_000)]});
    let mut submitted = BTreeSet::new();
    for _ in 0..4 {
        let answer = master.post("/api/tasks", &json!(vec![task.clone(); 30])).await;
        let ids = answer.json();
        let ids = ids.as_array().unwrap().iter();
        submitted.extend(ids.map(|task| task["task_id"].as_str().unwrap().to_owned()));
    }

    let mut shown = BTreeSet::new();
    let mut query = "/api/tasks?limit=1000".to_owned();
    loop {
        let answer = master.get(&query).await;
        assert!(answer.body.len() < PAGE_BYTES_MAX, "{} bytes", answer.body.len());
        let page = answer.json();
        for task in page["tasks"].as_array().unwrap() {
            assert!(shown.insert(task["task_id"].as_str().unwrap().to_owned()), "{task}");
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("/api/tasks?limit=1000&cursor={cursor}");
    }
    assert_eq!(shown, submitted);

    let url = format!("http://{}", master.grpc());
    let mut client = TaskServiceClient::connect(url).await.unwrap();
    let request = v1::ListTasksRequest { limit: 1_000, ..Default::default() };
    let page = client.list(request).await.unwrap().into_inner();
    assert!(page.tasks.len() > 10 && page.next_cursor.is_some());
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_too_long_are_refused_before_they_are_read() {
    let master = OneMaster::start().await;
    let headers = [("content-type", "application/json")];
    let long = format!("[{}{{}}]", "{},".repeat(300_000));
    let refused = master.ask("POST", "/api/tasks", &headers, &long).await;
    assert_eq!(refused.problem(422, "limit-reached")["outcome"], "rejected");

    let url = format!("http://{}", master.grpc());
    let mut client =
        TaskServiceClient::connect(url).await.unwrap().max_encoding_message_size(16 << 20);
    let constraints = vec![v1::Constraint::default(); 1_000_000];
    let many_parts = v1::TaskSpec { constraints, ..v1::TaskSpec::default() };
    let many_tasks = |count| vec![v1::TaskSpec::default(); count];
    for tasks in [many_tasks(10_001), many_tasks(1_000_000), vec![many_parts]] {
        let refused = client.submit(v1::SubmitRequest { tasks, idempotency_key: None }).await;
        let problem = Problem::from(&refused.unwrap_err());
        assert_eq!(problem.kind, ErrorKind::LimitReached, "{problem}");
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_listed_whole_or_in_pages() {
    let master = OneMaster::start().await;
    for number in 0..5 {
        crate::worker_session::pre_register(&master, &format!("worker-{number}")).await;
    }
    let whole = master.get("/api/workers").await.json();
    assert_eq!(whole["workers"].as_array().unwrap().len(), 5);
    assert_eq!(whole["next_cursor"], json!(null));
    let page = master.get("/api/workers?limit=2").await.json();
    assert_eq!(page["workers"].as_array().unwrap().len(), 2);
    assert_eq!(page["next_cursor"], "worker-1");
    let rest = master.get("/api/workers?limit=3&cursor=worker-1").await.json();
    assert_eq!(rest["workers"].as_array().unwrap().len(), 3);
    assert_eq!(rest["next_cursor"], json!(null));
    master.stop().await;
}
