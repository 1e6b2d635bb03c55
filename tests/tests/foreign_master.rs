//! A master with the data of another cluster at a member's address is not listened to.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::tree::copy;
use eventually::throughout;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_goes_on_without_it() {
    let stolen = TempDir::new().unwrap();
    {
        let mut other = Cluster::builder().masters(1).start().await;
        other.client().submit(&other.effects().task("elsewhere")).await;
        other.master_mut(1).kill();
        copy(other.master(1).data_dir(), stolen.path());
    }
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client_without(1);
    let before = client.submit(&cluster.effects().task("before")).await;
    cluster.await_converged().await;
    let cluster_id = cluster.status(2).await["cluster_id"].clone();

    cluster.master_mut(1).kill();
    let data = cluster.master(1).data_dir().to_owned();
    std::fs::remove_dir_all(&data).unwrap();
    copy(stolen.path(), &data);
    cluster.master_mut(1).restart();

    cluster.leader_among(&[2, 3]).await;
    throughout("the others keep their own", Duration::from_secs(3), async || {
        let task = client.task(&before).await;
        if task["name"] == "before" { Ok(()) } else { Err(task.to_string()) }
    })
    .await;
    for id in [2, 3] {
        assert_eq!(cluster.status(id).await["cluster_id"], cluster_id);
    }
    let after = client.submit(&cluster.effects().task("after")).await;
    client.await_state(&after, "completed").await;
}
