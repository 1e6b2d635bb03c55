//! Something at a worker's address accepts connections and says nothing: the others do not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::eventually;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_worker_delays_nobody() {
    let mut cluster = Cluster::builder().start().await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut holding = JoinSet::new();
    let counted = Arc::clone(&accepted);
    holding.spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = mute.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(connection);
        }
    });
    let mut client = cluster.client();
    let started = Instant::now();
    client.register_worker("mute", &address).await.expect(201);
    let name = cluster.register_worker().await;
    cluster.worker_mut(&name).start();

    client.await_worker(&name, "active", CONNECT_PATIENCE).await;
    let leader = cluster.leader().await;
    let mut metrics = cluster.client_of(leader);
    eventually("the mute one was given up twice", Duration::from_secs(20), async || {
        let failures = metrics.metric("cloudai_reconnect_failures_total").await;
        if failures >= Some(2.0) { Ok(()) } else { Err(format!("{failures:?}")) }
    })
    .await;
    assert_eq!(client.worker("mute").await["is_active"], false);
    // An attempt takes three seconds here, so attempts that overlap would show as more
    // connections than those seconds have room for.
    let room = started.elapsed().as_secs() / 3 + 2;
    let connections = accepted.load(Ordering::Relaxed);
    assert!(connections as u64 <= room, "{connections} connections in {:?}", started.elapsed());
}
