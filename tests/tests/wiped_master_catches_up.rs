//! A master whose disk was replaced comes back under its old name, with nothing: its log is another
//! member, which takes the place of the lost one.

use std::fs;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require, throughout};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_sent_everything_again() {
    let small_log = Cluster::builder()
        .master_arg("--raft-snapshot-every", "200")
        .master_arg("--raft-log-kept", "20")
        .master_arg("--raft-log-held-bytes", "0");
    let mut cluster = small_log.workers(1).start().await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader).pop().unwrap();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(50).await;

    wipe(&mut cluster, follower);
    cluster.await_voters().await;
    load.progress(200).await;

    let others = cluster.others(leader);
    cluster.master_mut(leader).kill();
    let next = cluster.leader_among(&others).await;
    eventually(
        "the log no longer reaches back to the beginning",
        Duration::from_secs(10),
        async || {
            let first = cluster.client_of(next).metric("cloudai_raft_first_log_index").await;
            require(first > Some(1.0), || format!("{first:?}"))
        },
    )
    .await;
    wipe(&mut cluster, leader);
    cluster.await_voters().await;
    load.progress(50).await;

    load.stop().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// An acknowledged write is on the dead leader only, and one of the two survivors never had it. The
/// other had it, but has lost it: they must not agree on less.
#[tokio::test(flavor = "multi_thread")]
async fn it_helps_nobody_to_lead_who_has_less_than_it_had() {
    let mut cluster = Cluster::builder().start().await;
    let leader = cluster.leader().await;
    let [wiped, behind] = cluster.others(leader)[..] else { panic!("three masters") };
    cluster.master(behind).freeze();
    let mut client = cluster.client_of(leader);
    let mut ids = Vec::new();
    for number in 0..10 {
        let name = format!("task-{number}");
        ids.push(client.submit_under(&cluster.effects().task(&name), &name).await.unwrap());
    }
    cluster.master_mut(leader).kill();
    wipe(&mut cluster, wiped);
    cluster.master(behind).thaw();

    throughout("nobody leads", Duration::from_secs(4), async || {
        for master in [wiped, behind] {
            let answer = cluster.probe(master, "/leader").await;
            require(answer != Some(200), || format!("master {master} leads"))?;
        }
        Ok(())
    })
    .await;

    cluster.master_mut(leader).restart();
    cluster.await_voters().await;
    let mut client = cluster.client();
    for id in &ids {
        client.look_for(id).await;
    }
    cluster.add_worker().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

fn wipe(cluster: &mut Cluster, master: u64) {
    let master = cluster.master_mut(master);
    master.kill();
    fs::remove_dir_all(master.data_dir()).unwrap();
    master.restart();
}
