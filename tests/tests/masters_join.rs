//! Masters join a cluster under load, and one that does not belong to it any more ends.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};
use cluster_tests::tree::copy;
use tempfile::TempDir;

/// Time for a process to end by itself.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn one_becomes_three_and_outlives_the_first() {
    let mut cluster = Cluster::builder().masters(1).workers(1).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    for _ in 0..2 {
        cluster.add_master();
    }
    cluster.await_voters().await;
    load.stop().await;

    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    cluster.master_mut(1).kill();
    cluster.leader_among(&[2, 3]).await;
    load.progress(50).await;
    cluster.master_mut(1).restart();
    cluster.await_voters().await;

    load.stop().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_disk_is_refused_with_an_exit_code_of_its_own() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let leader = cluster.leader().await;
    let id = cluster.others(leader)[0];
    cluster.master_mut(id).kill();
    let older = TempDir::new().unwrap();
    copy(cluster.master(id).data_dir(), older.path());
    cluster.master_mut(id).restart();
    cluster.await_all_ready().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(50).await;

    let master = cluster.master_mut(id);
    master.kill();
    let data = master.data_dir().to_owned();
    std::fs::remove_dir_all(&data).unwrap();
    copy(older.path(), &data);
    master.restart();
    let status = master.wait(PATIENCE).await;
    assert_eq!(status.code(), Some(3));
    let log = master.log();
    assert!(log.lines().last().unwrap_or_default().contains("has gone back"), "{log}");

    // Empty, it is welcome.
    std::fs::remove_dir_all(&data).unwrap();
    cluster.master_mut(id).restart();
    cluster.await_voters().await;
    load.progress(50).await;
    load.stop().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
