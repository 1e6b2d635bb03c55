//! Clients behind a load balancer, without any retry of their own, while leaders are killed.

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan, Retry};
use cluster_tests::proxy::{self, Proxy};

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
