//! A follower that was away for a while gets what it missed from the leader's log.

use cluster_tests::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_follower_catches_up_from_the_log() {
    let mut cluster = Cluster::builder().start().await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader).pop().unwrap();
    cluster.master_mut(follower).kill();

    let mut client = cluster.client_without(follower);
    for number in 0..200 {
        let name = format!("task-{number}");
        client.submit_under(&cluster.effects().task(&name), &name).await.unwrap();
    }
    cluster.master_mut(follower).restart();
    cluster.await_ready(follower).await;

    cluster.check_replicas_agree().await;
    let snapshot = &cluster.own_status(follower).await["snapshot_index"];
    assert!(snapshot.is_null(), "it needed a snapshot: {snapshot}");
}
