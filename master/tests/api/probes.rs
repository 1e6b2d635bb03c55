//! Tests of the probes of load balancers, supervisors and Prometheus.

use cluster_state::Level;
use eventually::{PATIENCE, eventually, require};
use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::one_master::OneMaster;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_alive_ready_and_no_follower() {
    let master = OneMaster::start().await;
    let of = async |path: &str| {
        let answer = master.get(path).await;
        (answer.status, answer.body)
    };
    assert_eq!(of("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(of("/readyz").await, (200, "ok\n".to_owned()));
    let verbose = "[+] leader known\n[+] caught up with the leader\n[+] not shutting down\n";
    assert_eq!(of("/readyz?verbose").await, (200, verbose.to_owned()));
    assert_eq!(of("/leader").await, (200, "leader\n".to_owned()));
    assert_eq!(of("/follower?max_lag=10").await.0, 503);
    for path in ["/livez", "/readyz", "/leader", "/follower"] {
        let head = master.ask("HEAD", path, &[], "").await;
        assert_eq!(head.body, "");
        let options = master.ask("OPTIONS", path, &[], "").await;
        assert_eq!((options.status, options.header("allow")), (204, "GET, HEAD, OPTIONS"));
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_which_a_part_has_ended_is_not_alive() {
    let master = OneMaster::start().await;
    master.fail("the scheduler has ended");
    let answer = master.get("/livez").await;
    assert_eq!((answer.status, &*answer.body), (503, "the scheduler has ended\n"));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_is_healthy_and_knows_its_leader() {
    let master = OneMaster::start().await;
    let status = master.get("/api/cluster").await.json();
    assert_eq!(status["healthy"], json!(true));
    assert_eq!(status["problems"], json!([]));
    assert_eq!(status["leader_id"], 1);
    assert_eq!(status["members"][0]["role"], "leader");
    assert_eq!(status["members"][0]["reachable"], json!(true));
    assert_eq!(status["members"][0]["lag"], 0);
    let leader = master.get("/api/cluster/leader").await.json();
    assert_eq!(leader["leader_id"], 1);
    assert_eq!(leader["address"], master.grpc().to_string());
    assert_eq!(leader["http_address"], status["members"][0]["http_address"]);

    let leaders = master.get("/api/cluster/leaders").await.json();
    assert_eq!(leaders[0]["leader_id"], 1);
    assert_eq!(leaders[0]["until"], json!(null));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_master_says_of_the_cluster_is_what_it_sees_unless_more_is_asked_for() {
    let master = OneMaster::start().await;
    for path in ["/api/cluster", "/api/cluster/leader"] {
        for (query, is_stale) in
            [("", true), ("?consistency=stale", true), ("?consistency=linearizable", false)]
        {
            let answer = master.get(&format!("{path}{query}")).await;
            let last_contact = answer.header("x-cluster-last-contact-ms");
            assert_eq!((answer.status, !last_contact.is_empty()), (200, is_stale), "{path}{query}");
        }
        master.get(&format!("{path}?consistency=fresh")).await.problem(400, "malformed");
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_the_cluster_and_the_requests() {
    let master = OneMaster::start().await;
    master.submit("true").await;
    let level = format!("cloudai_level {}", Level::NEWEST);
    let answer = eventually("the level has risen", PATIENCE, async || {
        let answer = master.get("/metrics").await;
        let has_risen = answer.body.lines().any(|line| line == level);
        require(has_risen, || format!("no {level} in\n{}", answer.body))?;
        Ok(answer)
    })
    .await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        &format!("cloudai_level_max {}", Level::NEWEST),
        "cloudai_raft_is_leader 1",
        "cloudai_raft_has_leader 1",
        "cloudai_tasks{state=\"queued\"} 1",
        "cloudai_tasks{state=\"running\"} 0",
        "cloudai_workers{state=\"active\"} 0",
        "cloudai_worker_heartbeats_total 0",
        "cloudai_http_requests_total{route=\"/api/tasks\",method=\"POST\",status=\"201\"} 1",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} in\n{}", answer.body);
    }
    let build = format!("cloudai_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(answer.body.contains(&build), "{}", answer.body);
    assert!(!answer.body.contains(" info\n"), "older scrapers refuse such metrics");
    for name in ["process_max_fds", "process_virtual_memory_bytes"] {
        assert!(answer.body.lines().any(|line| line.starts_with(name)), "{name}");
    }
    let synced = answer.body.lines().find(|l| l.starts_with("cloudai_raft_fsync_seconds_count"));
    assert_ne!(synced.unwrap(), "cloudai_raft_fsync_seconds_count 0");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_old_and_new_can_list_the_services() {
    use tonic_reflection::pb::{v1, v1alpha};
    let master = OneMaster::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", master.grpc()));
    let channel = channel.unwrap().connect_lazy();

    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request =
        v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let asked = futures_util::stream::iter([request]);
    let answer = old.server_reflection_info(asked).await.unwrap().into_inner().message().await;
    assert!(format!("{answer:?}").contains("cloudai.v1.TaskService"), "{answer:?}");

    let mut new = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let asked = futures_util::stream::iter([request]);
    let answer = new.server_reflection_info(asked).await.unwrap().into_inner().message().await;
    assert!(format!("{answer:?}").contains("cloudai.v1.TaskService"), "{answer:?}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_health_service_says_serving() {
    let master = OneMaster::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", master.grpc()));
    let mut client = HealthClient::new(channel.unwrap().connect_lazy());
    for service in ["", "cloudai.v1.TaskService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    master.stop().await;
}
