//! Tasks over REST and gRPC.

use proto::v1::task_service_client::TaskServiceClient;
use proto::v1::{GetTaskRequest, ListTasksRequest, SubmitRequest, TaskLogsRequest, TaskSpec};
use serde_json::json;

use crate::one_master::OneMaster;

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_null_is_absent() {
    let master = OneMaster::start().await;
    let task = json!({
        "name": "train-7", "command": ["python3", "train.py"], "image": null, "env": {"K": "v"},
        "working_dir": null, "worker_id": null, "queue_timeout": null, "delay": null,
        "constraints": [{"label": "zone", "op": "=", "value": "a"}], "after": null,
    });
    assert_eq!(master.post("/api/tasks", &task).await.status, 201);
    assert_eq!(master.post("/api/tasks", &json!([task])).await.status, 201);
    let problem = master.post("/api/tasks", &json!({"command": ["a"], "image": "b"})).await;
    problem.problem(400, "unknown-field");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_task_is_shown_listed_and_cancelled() {
    let master = OneMaster::start().await;
    let submitted = master.post("/api/tasks", &json!({"command": ["true"], "name": "n"})).await;
    assert_eq!(submitted.status, 201);
    assert_eq!(submitted.json(), json!({"task_id": "t1", "state": "queued"}));
    assert_eq!(submitted.header("location"), "/api/tasks/t1");
    let index = submitted.header("x-cluster-index").parse::<u64>().unwrap();

    let shown = master.get("/api/tasks/t1").await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json()["name"], "n");
    assert_eq!(shown.json()["index"], index);
    assert_eq!(shown.json()["pending_reason"], "no worker is registered");
    assert!(shown.header("x-cluster-index").parse::<u64>().unwrap() >= index);
    assert_eq!(shown.header("x-cluster-leader"), "1");
    assert_eq!(shown.header("x-cluster-known-leader"), "true");
    assert_ne!(shown.header("x-cluster-term"), "0");
    assert_eq!(shown.header("x-cluster-last-contact-ms"), "");

    let listed = master.get("/api/tasks?state=queued").await.json();
    assert_eq!(listed["tasks"][0]["task_id"], "t1");
    assert_eq!(listed["next_cursor"], json!(null));

    let cancelled = master.delete("/api/tasks/t1").await;
    assert_eq!(cancelled.status, 202);
    assert_eq!(cancelled.json(), json!({"task_id": "t1", "state": "cancelled"}));
    let again = master.delete("/api/tasks/t1").await.problem(409, "conflict");
    assert_eq!(again["detail"], "task t1 is cancelled already");
    assert_eq!(again["outcome"], "rejected");
    assert_eq!(master.get("/api/tasks/t1").await.json()["state"], "cancelled");
    assert_eq!(master.get("/api/tasks?state=cancelled").await.json()["tasks"][0]["task_id"], "t1");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_are_accepted_together_or_not_at_all() {
    let master = OneMaster::start().await;
    let good = json!({"command": ["true"]});
    let many = master.post("/api/tasks", &json!([good, good, good])).await;
    assert_eq!(many.status, 201);
    assert_eq!(many.json()[2], json!({"task_id": "t3", "state": "queued"}));

    let one_bad = master.post("/api/tasks", &json!([good, {"command": []}])).await;
    let problem = one_bad.problem(422, "invalid-task");
    assert_eq!(problem["errors"][0]["pointer"], "/1/command");
    assert_eq!(problem["outcome"], "rejected");
    assert_eq!(master.submit("true").await, "t4");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_under_a_known_key_gives_the_same_task() {
    let master = OneMaster::start().await;
    let key = [("idempotency-key", "order-17")];
    let submit = async |body| master.post_with("/api/tasks", &key, &body).await;
    let first = submit(json!({"command": ["true"]})).await;
    assert_eq!(first.status, 201);
    let again = submit(json!({"command": ["true"], "priority": 50})).await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    let other = submit(json!({"command": ["false"]})).await.problem(409, "idempotency-conflict");
    assert_eq!(other["outcome"], "rejected");

    master.delete("/api/tasks/t1").await;
    assert_eq!(submit(json!({"command": ["true"]})).await.json()["state"], "cancelled");
    let long = "x".repeat(256);
    let key = [("idempotency-key", long.as_str())];
    let refused = master.post_with("/api/tasks", &key, &json!({"command": ["true"]})).await;
    refused.problem(400, "malformed");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_live_and_finished_tasks_once_newest_first() {
    let master = OneMaster::start().await;
    for number in 1..=7 {
        let id = master.submit("true").await;
        if number % 2 == 0 {
            master.delete(&format!("/api/tasks/{id}")).await;
        }
    }
    let mut shown = Vec::new();
    let mut path = "/api/tasks?limit=2".to_owned();
    loop {
        let page = master.get(&path).await.json();
        for task in page["tasks"].as_array().unwrap() {
            shown.push(task["task_id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/tasks?limit=2&cursor={cursor}");
    }
    assert_eq!(shown, ["t7", "t6", "t5", "t4", "t3", "t2", "t1"]);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_task_or_with_the_time() {
    let master = OneMaster::start().await;
    let id = master.submit("true").await;
    let path = format!("/api/tasks/{id}/wait");
    let too_short = master.get(&format!("{path}?timeout=50ms")).await;
    assert_eq!((too_short.status, too_short.body.as_str()), (204, ""));

    let long = format!("{path}?timeout=20s");
    let (waited, _) = tokio::join!(master.get(&long), async {
        master.until_a_request_waits().await;
        master.delete(&format!("/api/tasks/{id}")).await
    });
    assert_eq!((waited.status, &waited.json()["state"]), (200, &json!("cancelled")));
    master.get("/api/tasks/t99/wait").await.problem(404, "not-found");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_read_returns_when_its_index_has_passed() {
    let master = OneMaster::start().await;
    master.submit("true").await;
    let index = master.get("/api/tasks").await.header("x-cluster-index").to_owned();
    let path = format!("/api/tasks?consistency=stale&index={index}&wait=20s");
    let (read, _) = tokio::join!(master.get(&path), async {
        master.until_a_request_waits().await;
        master.submit("true").await
    });
    assert_eq!(read.json()["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(read.header("x-cluster-last-contact-ms"), "0");
    let passed = read.header("x-cluster-index").parse::<u64>().unwrap();
    assert!(passed > index.parse::<u64>().unwrap());
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_survive_a_restart() {
    let master = OneMaster::start().await;
    let (live, finished) = (master.submit("true").await, master.submit("true").await);
    master.delete(&format!("/api/tasks/{finished}")).await;
    let dir = master.stop().await;

    // The member's address is fixed by the first start: a master with data ignores the list.
    let master = OneMaster::start_in(dir).await;
    assert_eq!(master.get(&format!("/api/tasks/{live}")).await.json()["state"], "queued");
    assert_eq!(master.get(&format!("/api/tasks/{finished}")).await.json()["state"], "cancelled");
    assert_eq!(master.submit("true").await, "t3");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_rest_show_the_same_tasks() {
    let master = OneMaster::start().await;
    let url = format!("http://{}", master.grpc());
    let mut client = TaskServiceClient::connect(url).await.unwrap();
    let spec = TaskSpec { command: vec!["true".to_owned()], ..TaskSpec::default() };
    let request = SubmitRequest { tasks: vec![spec], idempotency_key: Some("k".to_owned()) };
    let submitted = client.submit(request).await.unwrap().into_inner();
    let task_id = submitted.tasks[0].task_id.clone();

    let over_rest = master.get(&format!("/api/tasks/{task_id}")).await.json();
    let request = GetTaskRequest { task_id, consistency: 0 };
    let over_grpc = client.get(request).await.unwrap().into_inner();
    assert_eq!(over_rest, serde_json::to_value(over_grpc).unwrap());

    let unknown = GetTaskRequest { task_id: "t99".to_owned(), consistency: 0 };
    let status = client.get(unknown).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(status.metadata().get("error-kind").unwrap(), "not-found");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_refuses_values_of_a_later_version() {
    let master = OneMaster::start().await;
    let url = format!("http://{}", master.grpc());
    let mut client = TaskServiceClient::connect(url).await.unwrap();
    let task_id = master.submit("true").await;

    let read = GetTaskRequest { task_id: task_id.clone(), consistency: 7 };
    let list = ListTasksRequest { state: Some(77), ..ListTasksRequest::default() };
    let logs = TaskLogsRequest { task_id, stream: 9, ..TaskLogsRequest::default() };
    for (refused, detail) in [
        (client.get(read).await.unwrap_err(), "consistency 7 is neither linearizable nor stale"),
        (client.list(list).await.unwrap_err(), "77 is no state of a task"),
        (client.logs(logs).await.unwrap_err(), "stream 9 is neither stdout nor stderr"),
    ] {
        assert_eq!((refused.code(), refused.message()), (tonic::Code::InvalidArgument, detail));
    }
    master.stop().await;
}
