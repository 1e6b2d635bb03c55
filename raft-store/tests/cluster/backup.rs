//! A backup holds what was acknowledged before it began, whoever sends it, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use cluster_state::{ClusterId, MasterId};
use proto::backup::{Decoder, Section, Summary};
use raft_store::Backup;

use crate::harness::{Cluster, eventually, register};

/// Reads all of a backup, and returns its summary and the bytes of its files.
async fn read(mut backup: Backup) -> (Summary, u64) {
    let (mut decoder, mut summary, mut bytes) = (Decoder::default(), None, 0);
    while let Some(piece) = backup.next().await.unwrap() {
        decoder.push(&piece);
        while let Some(section) = decoder.next_section().unwrap() {
            match section {
                Section::Summary(read) => summary = Some(*read),
                Section::Part(part) => bytes += u64::try_from(part.bytes.len()).unwrap(),
                Section::Manifest(_) | Section::End(_) => {}
            }
        }
    }
    decoder.finish().unwrap();
    (summary.unwrap(), bytes)
}

fn checkpoints(cluster: &Cluster, id: MasterId) -> usize {
    let snapshots = cluster.data_dir(id).join("state/snapshots");
    std::fs::read_dir(snapshots).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sends_what_the_leader_has_just_acknowledged() {
    let cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.node(cluster.leader().await);
    let follower = cluster.follower().await;
    for number in 0..20 {
        let committed = leader.propose(&register(&format!("w{number}"))).await.unwrap();

        let backup = cluster.node(follower).take_backup().await.unwrap();
        let (summary, bytes) = read(backup).await;

        assert!(summary.index.unwrap() >= committed.index.0, "{summary:?}");
        assert_eq!(summary.workers, number + 1);
        assert_eq!(summary.data_bytes, bytes);
        assert_eq!(summary.members.iter().filter(|member| member.voter).count(), 3);
        assert_eq!((summary.master, summary.cluster_name), (follower.0, "test".to_owned()));
        assert_eq!(summary.cluster_id, Some(ClusterId(7).to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_nobody_reads_to_its_end_leaves_no_checkpoint() {
    let mut cluster = Cluster::start(100_000).await;
    let follower = cluster.follower().await;
    let mut backup = cluster.node(follower).take_backup().await.unwrap();
    assert_eq!(checkpoints(&cluster, follower), 1);
    backup.next().await.unwrap().unwrap();
    drop(backup);
    assert_eq!(checkpoints(&cluster, follower), 0);

    // A crash leaves the checkpoint, and the next start removes it.
    cluster.stop(follower).await;
    std::fs::create_dir_all(cluster.data_dir(follower).join("state/snapshots/left")).unwrap();
    cluster.restart(follower).await;
    eventually("it is gone", || async { (checkpoints(&cluster, follower) == 0).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_backup_of_what_a_minority_has() {
    let mut cluster = Cluster::start(100_000).await;
    let alone = cluster.leader().await;
    for other in [1, 2, 3].map(MasterId).into_iter().filter(|id| *id != alone) {
        cluster.stop(other).await;
    }
    let failure = cluster.node(alone).take_backup().await.unwrap_err();
    assert_eq!(failure.to_string(), "the cluster has no leader");
    assert_eq!(checkpoints(&cluster, alone), 0);
}
