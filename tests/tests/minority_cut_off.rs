//! A leader is cut off from the other masters, but not from clients: it answers nothing that needs
//! a quorum.

use std::time::Duration;

use cluster_tests::client::Answer;
use cluster_tests::cluster::Cluster;
use cluster_tests::firewall::{self, Cut};
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require};
use reqwest::{Method, StatusCode};

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_accepts_no_write_and_answers_no_linearizable_read() {
    if let Some(obstacle) = firewall::obstacle() {
        eprintln!("SKIPPED: no network can be cut here: {obstacle}");
        return;
    }
    let cluster = Cluster::builder().workers(2).cuttable().start().await;
    let watch = cluster.watch_leaders();
    let cut_off = cluster.leader().await;
    let others = cluster.others(cut_off);
    let mut client = cluster.client();
    let before = client.submit(&cluster.effects().task("before")).await;
    client.await_end(&before).await;

    let cut = Cut::around(&cluster, cut_off);
    let load = Load::start(&cluster.client_without(cut_off), cluster.effects(), Plan::STEADY);
    cluster.leader_among(&others).await;
    load.progress(100).await;

    let mut stranded = cluster.client_of(cut_off);
    let headers = [("content-type", "application/json"), ("idempotency-key", "stranded")];
    let body = cluster.effects().task("stranded").to_string().into_bytes();
    let write = stranded.send(Method::POST, "/api/tasks", &headers, Some(body)).await.unwrap();
    assert_refused(&write);
    let read = stranded.send(Method::GET, "/api/tasks?limit=1", &[], None).await.unwrap();
    assert_refused(&read);
    let path = format!("/api/tasks/{before}?consistency=stale");
    let stale = stranded.send(Method::GET, &path, &[], None).await.unwrap().expect(200);
    let age = stale.header("x-cluster-last-contact-ms").unwrap().parse::<u64>().unwrap();
    assert!(age > 1_000, "it heard from a leader {age} ms ago");
    assert_eq!(cluster.probe(cut_off, "/livez").await, Some(200));
    assert_eq!(cluster.probe(cut_off, "/readyz").await, Some(503));
    assert_eq!(cluster.probe(cut_off, "/leader").await, Some(503));

    drop(cut);
    eventually("the cut-off master is back", Duration::from_secs(10), async || {
        let status = cluster.probe(cut_off, "/readyz").await;
        require(status == Some(200), || format!("{status:?}"))
    })
    .await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    assert_eq!(answer.problem().as_deref(), Some("no-leader"), "{}", answer.text());
}
