//! Followers that stall for a moment cost no worker its session.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

const PATIENCE: Duration = Duration::from_secs(20);

/// When each worker was last heard from.
async fn heard(cluster: &Cluster) -> Vec<String> {
    let mut client = cluster.client();
    let mut heard = Vec::new();
    for name in cluster.worker_names() {
        let worker = client.worker(&name).await;
        heard.push(worker["last_heartbeat"].as_str().unwrap_or_default().to_owned());
    }
    heard
}

fn registrations(cluster: &Cluster, master: u64) -> usize {
    cluster.master(master).log().matches("worker registered").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_shorter_than_an_election_costs_no_session() {
    let cluster = Cluster::builder().workers(2).short_lease().start().await;
    let leader = cluster.leader().await;
    let term = cluster.own_status(leader).await["term"].clone();
    let registered = registrations(&cluster, leader);

    let followers = cluster.others(leader);
    followers.iter().for_each(|id| cluster.master(*id).freeze());
    eventually("the lease is lost", PATIENCE, async || {
        let status = cluster.probe(leader, "/leader").await;
        require(status == Some(503), || format!("{status:?}"))
    })
    .await;
    followers.iter().for_each(|id| cluster.master(*id).thaw());

    assert_eq!(cluster.leader().await, leader);
    let before = heard(&cluster).await;
    eventually("every worker is heard from again", PATIENCE, async || {
        let now = heard(&cluster).await;
        require(now.iter().zip(&before).all(|(now, before)| now > before), || format!("{now:?}"))
    })
    .await;
    assert_eq!(cluster.own_status(leader).await["term"], term);
    assert_eq!(registrations(&cluster, leader), registered);
    let log = cluster.master(leader).log();
    assert!(!log.contains("duties stopped"), "{log}");
}
