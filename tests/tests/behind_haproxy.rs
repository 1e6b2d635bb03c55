//! Clients behind a load balancer, without any retry of their own, while leaders are killed.

use std::time::Duration;

use cluster_tests::client::{Answer, Client};
use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan, Retry};
use cluster_tests::proxy::{self, Proxy};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

/// A client that gives up at once.
const NAIVE: Plan = Plan { retry: Retry::Never, ..Plan::STEADY };

#[tokio::test(flavor = "multi_thread")]
async fn any_ready_master_takes_what_a_dead_one_dropped() {
    lose_leaders_behind(Proxy::all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_takes_what_its_predecessor_dropped() {
    lose_leaders_behind(Proxy::leader).await;
}

async fn lose_leaders_behind(frontend: fn(&Proxy) -> &str) {
    if proxy::program().is_none() {
        eprintln!("SKIPPED: there is no haproxy here");
        return;
    }
    let mut cluster = Cluster::builder().workers(1).start().await;
    let proxy = Proxy::start(&cluster).await;
    let client = cluster.client_at(vec![frontend(&proxy).to_owned()]);
    let load = Load::start(&client, cluster.effects(), NAIVE);
    load.progress(100).await;

    for _ in 0..3 {
        let leader = cluster.leader().await;
        cluster.master_mut(leader).kill();
        load.progress(100).await;
        cluster.master_mut(leader).restart();
        cluster.await_ready(leader).await;
        load.progress(50).await;
    }

    let tally = load.stop().await;
    println!(
        "{} accepted, longest gap between two acknowledgments: {:?}",
        tally.accepted(),
        tally.longest_gap()
    );
    assert!(tally.failures.is_empty(), "{:?}\n{}", tally.failures, proxy.log());
    cluster.check_history().await;
}

/// Asks once.
async fn get(client: &mut Client, path: String) -> Answer {
    client.send(Method::GET, &path, &[], None).await.unwrap()
}

/// Time without traffic after which a connection counts as quiet.
const QUIET: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_or_waited_for_may_be_silent_for_long() {
    if proxy::program().is_none() {
        eprintln!("SKIPPED: there is no haproxy here");
        return;
    }
    let cluster = Cluster::builder().workers(1).start().await;
    let proxy = Proxy::start_with(&cluster, &[("QUIET", "2s")]).await;
    let mut client = cluster.client();
    let task = client.submit(&json!({"command": ["sh", "-c", "echo a; sleep 5; echo b"]})).await;
    client.await_state(&task, "running").await;
    let began_at = Instant::now();
    let asked = [proxy.all(), proxy.leader()].map(|frontend| {
        let client = || cluster.client_at(vec![frontend.to_owned()]);
        let (mut logs, mut wait) = (client(), client());
        let task = &task;
        async move {
            tokio::join!(
                get(&mut logs, format!("/api/tasks/{task}/logs?follow=true")),
                get(&mut wait, format!("/api/tasks/{task}/wait?timeout=5m")),
            )
        }
    });
    for (logs, waited) in futures_util::future::join_all(asked).await {
        assert_eq!(logs.expect(200).text(), "a\nb\n");
        assert_eq!(waited.expect(200).json()["state"], "completed");
    }
    assert!(began_at.elapsed() > QUIET * 2, "nothing was silent for long");
}
