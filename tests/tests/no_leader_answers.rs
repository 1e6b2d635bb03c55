//! Without a quorum, a master says so, and still shows what it has.

use std::time::{Duration, Instant};

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use reqwest::Method;

/// A master holds a request for 5 s in the hope of a leader.
const HOLD_MAX: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn a_master_alone_refuses_writes_and_answers_stale_reads() {
    let mut cluster = Cluster::builder().start().await;
    let mut client = cluster.client();
    let task = client.submit(&cluster.effects().task("before")).await;
    cluster.await_converged().await;
    let survivor = 3;
    cluster.master_mut(1).kill();
    cluster.master_mut(2).kill();

    let mut alone = cluster.client_of(survivor);
    let headers = [("content-type", "application/json"), ("idempotency-key", "alone")];
    let body = cluster.effects().task("alone").to_string().into_bytes();
    let began_at = Instant::now();
    let write = alone.send(Method::POST, "/api/tasks", &headers, Some(body)).await.unwrap();
    let waited = began_at.elapsed();
    let write = write.expect(503);
    assert_eq!(write.problem().as_deref(), Some("no-leader"), "{}", write.text());
    assert!(write.header("retry-after").is_some(), "{:?}", write.headers);
    assert!(write.json()["outcome"].is_string(), "{}", write.text());
    assert!(waited < HOLD_MAX, "it took {waited:?}");
    // Who comes while another waits for a leader waits no longer for that.
    let (mut first, mut second) = (cluster.client_of(survivor), cluster.client_of(survivor));
    let reads = tokio::join!(first.send(Method::GET, "/api/tasks", &[], None), async {
        tokio::time::sleep(HOLD_MAX / 2).await;
        let began_at = Instant::now();
        (second.send(Method::GET, "/api/tasks", &[], None).await, began_at.elapsed())
    });
    let (first, (second, waited)) = reads;
    for read in [first, second] {
        let read = read.unwrap().expect(503);
        assert_eq!(read.problem().as_deref(), Some("no-leader"), "{}", read.text());
    }
    assert!(waited < HOLD_MAX, "it took {waited:?}");
    let confirmed = "/api/cluster?consistency=linearizable";
    let confirmed = alone.send(Method::GET, confirmed, &[], None).await.unwrap().expect(503);
    assert_eq!(confirmed.problem().as_deref(), Some("no-leader"), "{}", confirmed.text());

    let path = format!("/api/tasks/{task}?consistency=stale");
    let stale = alone.send(Method::GET, &path, &[], None).await.unwrap().expect(200);
    assert_eq!(stale.json()["task_id"], task);
    assert!(stale.header("x-cluster-last-contact-ms").is_some(), "{:?}", stale.headers);
    assert_eq!(stale.header("x-cluster-known-leader"), Some("false"));
    for (path, status) in [("/livez", 200), ("/readyz", 503), ("/leader", 503), ("/follower", 503)]
    {
        assert_eq!(cluster.probe(survivor, path).await, Some(status), "{path}");
    }
    let status = cluster.status(survivor).await;
    assert_eq!(status["healthy"], false, "{status}");
    assert!(status["leader_id"].is_null(), "{status}");

    cluster.master_mut(1).restart();
    cluster.leader_among(&[1, survivor]).await;
    eventually("the submission is accepted at last", Duration::from_secs(10), async || {
        let task = cluster.effects().task("alone");
        let id = alone.try_submit(&task, "alone").await.map_err(|error| format!("{error:#}"))?;
        require(id != task["task_id"], || id)
    })
    .await;
}
