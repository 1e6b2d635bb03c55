//! A master that is told to stop waits for those it is talking to; told again, it waits no more.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Far below the time that the master gives a request whose body does not come.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_leader_whose_peers_are_frozen() {
    let mut cluster = Cluster::builder().start().await;
    let leader = cluster.leader().await;
    cluster.await_all_ready().await;
    // A request that never ends: stopping in good order would wait for it.
    let mut stuck = TcpStream::connect(cluster.master(leader).http()).await.unwrap();
    let head = "POST /api/tasks HTTP/1.1\r\nhost: master\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    stuck.write_all(head.as_bytes()).await.unwrap();
    for other in cluster.others(leader) {
        cluster.master(other).freeze();
    }

    cluster.master(leader).terminate();
    eventually("it begins to stop", Duration::from_secs(10), async || {
        require(cluster.master(leader).log().contains("stopping"), || "not yet".to_owned())
    })
    .await;
    assert!(cluster.master_mut(leader).is_running(), "it did not wait for the request");
    cluster.master(leader).terminate();

    let status = cluster.master_mut(leader).wait(AT_ONCE).await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(cluster.master(leader).log().contains("a second signal asks for it"));
    for other in cluster.others(leader) {
        cluster.master(other).thaw();
    }
}
