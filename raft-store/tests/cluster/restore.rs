//! A backup becomes a cluster of any size, in which nothing is handed out a second time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, ClusterId, Command, Generation, MasterId, OnDisconnect, Reply, Resources, SubmitTasks,
    Task, TaskId, TaskSpec, TextMap,
};
use proto::channel::Dialer;
use raft_store::{
    Account, Node, OpenError, PresentMember, Restoration, RestoreError, RestoreReport, Store,
    StoreConfig, present_at,
};
use tempfile::TempDir;

use crate::harness::{Cluster, eventually, knows, register, throughout};

fn submit() -> Command {
    let class = Class {
        priority: 50,
        resources: Resources::default(),
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    let spec = TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 1,
        retry_backoff: Duration::ZERO,
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    };
    Command::SubmitTasks(SubmitTasks { tasks: vec![Arc::new(spec)], idempotency_key: None })
}

/// A cluster with a worker and some tasks, and a backup of it.
async fn backed_up() -> (Cluster, Vec<u8>) {
    let cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.node(cluster.leader().await);
    leader.propose(&register("w1")).await.unwrap();
    for _ in 0..3 {
        leader.propose(&submit()).await.unwrap();
    }
    let mut backup = cluster.node(cluster.follower().await).take_backup().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    (cluster, bytes)
}

fn restoration(dir: &Path, name: u64, members: &BTreeMap<MasterId, String>) -> Restoration {
    let (data_dir, members) = (dir.to_owned(), members.clone());
    let (cluster_name, generation) = ("test".to_owned(), None);
    let (name, present) = (MasterId(name), Vec::new());
    Restoration { data_dir, name, cluster_name, members, generation, present }
}

fn restore(cluster: &Cluster, name: u64, members: &[u64], bytes: &[u8]) -> RestoreReport {
    let is_member = |id: &MasterId| members.contains(&id.0);
    let members = cluster.addresses.iter().filter(|(id, _)| is_member(id));
    let members = members.map(|(id, address)| (*id, address.clone())).collect();
    let dir = cluster.data_dir(MasterId(name));
    restoration(&dir, name, &members).run(bytes, |_, _| {}).unwrap()
}

async fn first_task(cluster: &Cluster) -> TaskId {
    let leader = cluster.node(cluster.leader().await);
    let committed = leader.propose(&submit()).await.unwrap();
    let Reply::Submitted { first, .. } = committed.reply else { panic!("{committed:?}") };
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_ends_nobody_of_another_generation() {
    let (before, bytes) = backed_up().await;
    let members = before.addresses.iter().take(3).map(|(id, at)| (*id, at.clone()));
    let members = members.collect::<BTreeMap<_, _>>();
    let at = members.clone();
    let ask = |name: &'static str| {
        let at = at.clone();
        async move {
            tokio::task::spawn_blocking(move || present_at(name, &at, &Dialer::plain()))
                .await
                .unwrap()
                .unwrap()
        }
    };
    assert_eq!(ask("other").await, []);
    let present = ask("test").await;
    assert_eq!(present.iter().map(|member| member.name.0).collect::<Vec<_>>(), [1, 2, 3]);

    let home = TempDir::new().unwrap();
    let beside = |present| Restoration { present, ..restoration(home.path(), 1, &members) };
    let refused = beside(present.clone()).run(&bytes[..], |_, _| {}).unwrap_err();
    assert!(matches!(refused, RestoreError::Alive(_)), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("leads in term") && refused.contains("follows master"), "{refused}");

    // Of the members that are restored from this backup, some may run already.
    let generation = beside(Vec::new()).run(&bytes[..], |_, _| {}).unwrap().generation;
    std::fs::remove_dir_all(home.path()).unwrap();
    let begun = present
        .into_iter()
        .map(|member| PresentMember { account: Account::Other(generation), ..member });
    beside(begun.collect()).run(&bytes[..], |_, _| {}).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_a_cluster_of_another_size() {
    let (before, bytes) = backed_up().await;
    let old = before.node(before.leader().await).local_status();
    for members in [&[1_u64][..], &[1, 2, 3]] {
        let mut cluster = Cluster::prepare(100_000).await;
        let reports = members.iter().map(|id| restore(&cluster, *id, members, &bytes));
        let generations = reports.map(|report| report.generation).collect::<Vec<_>>();
        assert!(generations.iter().all(|one| Some(one) == generations.first()), "{generations:?}");
        assert_eq!(generations.first().unwrap().number, 1);

        for id in members {
            cluster.start_member(*id, members).await;
        }
        let leader = cluster.node(cluster.leader().await);
        assert_eq!(leader.cluster_id(), Some(ClusterId(7)));
        assert_eq!(leader.members().len(), members.len());
        assert!(knows(leader, "w1"));
        let live = leader.reader().with(|state| state.live_tasks());
        assert_eq!(live, 3);

        assert_eq!(first_task(&cluster).await, TaskId(1_000_000_000_000));
        let new = cluster.node(cluster.leader().await).local_status();
        assert!(new.term.0 > old.term.0 + 1_000_000, "{new:?} after {old:?}");
        assert!(new.last_log.0 > old.last_log.0 + 1_000_000, "{new:?} after {old:?}");
        for id in members {
            let node = cluster.node(MasterId(*id));
            eventually("it answers reads", || async { node.linearize().await.ok() }).await;
            let meta = node.reader().with(|state| *state.meta());
            assert_eq!(Some(&meta.generation), generations.first());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_list_of_members_is_another_life() {
    let (_before, bytes) = backed_up().await;
    let cluster = Cluster::prepare(100_000).await;
    let first = restore(&cluster, 1, &[1], &bytes).generation;
    let second = restore(&cluster, 2, &[1, 2], &bytes).generation;
    assert_eq!((first.number, second.number), (1, 1));
    assert_ne!(first, second);
    assert_ne!(first, Generation::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_leaves_an_empty_directory() {
    let (_before, bytes) = backed_up().await;
    let home = TempDir::new().unwrap();
    let dir = home.path().join("data");
    let members = [(MasterId(1), "127.0.0.1:1".to_owned())].into();
    let restoration = restoration(&dir, 1, &members);

    let length = bytes.len();
    for damaged in [&bytes[..length / 2], &bytes[..length - 1], &bytes[..40], b"something else"] {
        let refused = restoration.run(damaged, |_, _| {}).unwrap_err();
        assert!(matches!(refused, RestoreError::Backup(_)), "{refused}");
        assert!(!dir.join("state").exists() && !dir.join("guard").exists());
    }
    for at in (0..length).step_by(length / 50) {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        assert!(restoration.run(&altered[..], |_, _| {}).is_err(), "altered at {at}");
    }

    // A crash half way: no master starts on that, and the next try does it again.
    restoration.run(&bytes[..], |_, _| {}).unwrap();
    std::fs::write(dir.join("restoring"), b"").unwrap();
    std::fs::remove_file(dir.join("guard")).unwrap();
    let refused = Store::open(StoreConfig::new(&dir, MasterId(1))).unwrap_err();
    assert!(matches!(refused, OpenError::HalfRestored(_)), "{refused}");
    restoration.run(&bytes[..], |_, _| {}).unwrap();

    // And then it is somebody's data.
    let refused = restoration.run(&bytes[..], |_, _| {}).unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused}");
    let store = Store::open(StoreConfig::new(&dir, MasterId(1))).unwrap();
    assert_eq!(store.reader.with(|state| state.live_tasks()), 3);
    let attempts = |task: &Task| task.attempts.len();
    let task = store.reader.with(|state| state.task(TaskId(1)).map(|task| attempts(task)));
    assert_eq!(task, Some(0));
}

/// Two machines were restored, and the third comes back with what it had before.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_the_past_is_neither_heard_nor_told_anything() {
    let (mut cluster, bytes) = backed_up().await;
    for id in [1, 2, 3] {
        cluster.stop(MasterId(id)).await;
    }
    let restored = [1, 2].map(|id| {
        cluster.wipe(MasterId(id));
        restore(&cluster, id, &[1, 2, 3], &bytes).generation
    });
    for id in [3, 1, 2] {
        cluster.start_member(id, &[1, 2, 3]).await;
    }
    let leader = cluster.leader().await;
    assert_ne!(leader, MasterId(3));
    let leader = cluster.node(leader).clone();
    leader.propose(&register("after")).await.unwrap();

    let past = cluster.node(MasterId(3)).clone();
    throughout(Duration::from_secs(2), || {
        let generation = |node: &Node| node.reader().with(|state| state.meta().generation);
        assert_eq!([generation(&leader), generation(&past)], [restored[0], Generation::default()]);
        assert!(!knows(&past, "after"));
        assert!(!past.leadership().borrow().is_leading());
    })
    .await;
    leader.propose(&register("later")).await.unwrap();

    drop(past);
    cluster.stop(MasterId(3)).await;
    cluster.wipe(MasterId(3));
    assert_eq!(restore(&cluster, 3, &[1, 2, 3], &bytes).generation, restored[1]);
    cluster.start_member(3, &[1, 2, 3]).await;
    let third = cluster.node(MasterId(3));
    eventually("it has everything", || async { knows(third, "later").then_some(()) }).await;
}

/// The disks are lost once more before another backup was saved.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_restored_again_gives_out_nothing_of_the_first_time() {
    let (_before, bytes) = backed_up().await;
    let mut positions = Vec::new();
    for generation in [None, Some(2), Some(7)] {
        let mut cluster = Cluster::prepare(100_000).await;
        let members = [(MasterId(1), cluster.addresses[&MasterId(1)].clone())].into();
        let restoration = restoration(&cluster.data_dir(MasterId(1)), 1, &members);
        let restoration = Restoration { generation, ..restoration };
        let report = restoration.run(&bytes[..], |_, _| {}).unwrap();
        assert_eq!(report.generation.number, generation.unwrap_or(1));
        cluster.start_member(1, &[1]).await;

        let task = first_task(&cluster).await;
        let node = cluster.node(MasterId(1));
        let status = node.local_status();
        let epoch = node.reader().with(|state| state.workers().next().unwrap().epoch);
        positions.push((task.0, status.term.0, status.last_log.0, epoch.0));
    }
    for pair in positions.windows(2) {
        let [(task, term, index, epoch), next] = pair else { panic!("{pair:?}") };
        assert!(next.0 > task + 1_000_000 && next.1 > term + 1_000_000, "{positions:?}");
        assert!(next.2 > index + 1_000_000 && next.3 > epoch + 1_000_000, "{positions:?}");
    }

    let home = TempDir::new().unwrap();
    let members = [(MasterId(1), "127.0.0.1:1".to_owned())].into();
    let earlier = Restoration { generation: Some(0), ..restoration(home.path(), 1, &members) };
    let refused = earlier.run(&bytes[..], |_, _| {}).unwrap_err().to_string();
    assert_eq!(refused, "the generation must be 1 or a later one, not 0");
}
