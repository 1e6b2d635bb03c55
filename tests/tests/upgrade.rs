//! Masters of this release and the next one run as one cluster, in every order of an upgrade, and back
//! again until the level has risen.

mod digests;

use std::time::Duration;

use cluster_state::Level;
use cluster_tests::cluster::{Cluster, Release};
use cluster_tests::load::{Load, Plan};
use eventually::{PATIENCE, eventually, require};
use serde_json::json;

use self::digests::Replicas;

/// Time for the leader to find that every master can run the next level: it asks every ten seconds.
const RISE_PATIENCE: Duration = Duration::from_secs(25);
/// The level of the next release.
const NEXT: Level = Level(Level::NEWEST.0 + 1);
/// Labels of a worker that this release's level refuses and the next one allows, in two requests.
const LABELS: [usize; 2] = [40, 80];

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_be_upgraded_first() {
    upgrade_with_the_leader_at(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_be_upgraded_between_its_followers() {
    upgrade_with_the_leader_at(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_be_upgraded_last() {
    upgrade_with_the_leader_at(2).await;
}

/// Upgrades the masters one by one while clients submit. Each leads as soon as it is upgraded.
async fn upgrade_with_the_leader_at(place: usize) {
    let mut cluster = start(2).await;
    let watch = cluster.watch_leaders();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(30).await;
    let first = cluster.leader().await;
    let mut order = cluster.others(first);
    order.insert(place, first);

    for (id, upgraded) in order.into_iter().zip(1..) {
        assert_levels(&mut cluster, Level::NEWEST).await;
        let refused = label_beyond_this_level(&cluster).await;
        assert_eq!(refused.as_deref(), Some("limit-reached"));
        cluster.replace_program(id, Release::Next).await;
        cluster.await_ready(id).await;
        assert_eq!(cluster.own_status(id).await["level_max"], NEXT.0);
        load.progress(20).await;
        lead(&cluster, id).await;
        load.progress(20).await;
        if upgraded < 3 {
            Replicas::of(&cluster).await.assert_same().await;
        }
    }

    await_rise(&mut cluster).await;
    load.progress(30).await;
    assert_eq!(label_beyond_this_level(&cluster).await, None);
    Replicas::of(&cluster).await.assert_same().await;

    // The state that it reads back from its disk is still that of the others.
    cluster.master_mut(first).kill();
    load.progress(20).await;
    cluster.master_mut(first).restart();
    cluster.await_ready(first).await;
    Replicas::of(&cluster).await.assert_same().await;

    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
}

/// Before the level has risen, what the next release has written is what this one reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_goes_back_to_the_release_before() {
    let mut cluster = start(2).await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;

    for id in cluster.master_ids() {
        cluster.replace_program(id, Release::Next).await;
        cluster.await_ready(id).await;
        lead(&cluster, id).await;
        load.progress(20).await;
        cluster.replace_program(id, Release::This).await;
        cluster.await_ready(id).await;
        load.progress(20).await;
        Replicas::of(&cluster).await.assert_same().await;
    }

    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert_levels(&mut cluster, Level::NEWEST).await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// After the level has risen it says what it lacks, with its own data and with none.
#[tokio::test(flavor = "multi_thread")]
async fn the_release_before_stays_out_once_the_level_has_risen() {
    let mut cluster = start(1).await;
    for id in cluster.master_ids() {
        cluster.replace_program(id, Release::Next).await;
        cluster.await_ready(id).await;
    }
    await_rise(&mut cluster).await;
    let leader = cluster.leader().await;
    let older = cluster.others(leader)[0];

    cluster.replace_program(older, Release::This).await;
    await_refusal(&mut cluster, older).await;
    let task = cluster.effects().task("beside-the-refused");
    let id = cluster.client_without(older).submit(&task).await;
    cluster.client_without(older).await_state(&id, "completed").await;

    std::fs::remove_dir_all(cluster.master(older).data_dir()).unwrap();
    cluster.start_program(older, Release::This);
    await_refusal(&mut cluster, older).await;

    cluster.start_program(older, Release::Next);
    cluster.await_ready(older).await;
    Replicas::of(&cluster).await.assert_same().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// Waits until the master has ended with one line that names the level.
async fn await_refusal(cluster: &mut Cluster, id: u64) {
    let status = cluster.master_mut(id).wait(PATIENCE).await;
    assert!(!status.success(), "master {id} ended well");
    let log = cluster.master(id).log();
    let last = log.lines().last().unwrap_or_default();
    eprintln!("{last}");
    let (needed, known) = (format!("level {NEXT}"), format!("levels up to {}", Level::NEWEST));
    assert!(last.contains(&needed) && last.contains(&known), "{last}");
    assert!(!log.contains("panicked"), "{log}");
}

/// Waits until every master has reached the next level, and what came with it is in use.
async fn await_rise(cluster: &mut Cluster) {
    for id in cluster.master_ids() {
        await_level(cluster, id, NEXT).await;
    }
    eventually("the leader has posted a notice", RISE_PATIENCE, async || {
        let has_posted = cluster.masters().any(|one| one.log().contains("a notice was posted"));
        require(has_posted, || "no log says so".to_owned())
    })
    .await;
}

/// Starts a cluster of this release, and waits until it has reached the release's level.
async fn start(workers: usize) -> Cluster {
    let mut cluster = Cluster::builder().workers(workers).start().await;
    for id in cluster.master_ids() {
        await_level(&mut cluster, id, Level::NEWEST).await;
    }
    cluster
}

async fn await_level(cluster: &mut Cluster, id: u64, level: Level) {
    eventually("the level has risen", RISE_PATIENCE, async || {
        let found = cluster.client_of(id).metric("cloudai_level").await;
        require(found == Some(f64::from(level.0)), || format!("master {id} is at {found:?}"))
    })
    .await;
}

async fn assert_levels(cluster: &mut Cluster, level: Level) {
    for id in cluster.master_ids() {
        let found = cluster.client_of(id).metric("cloudai_level").await;
        assert_eq!(found, Some(f64::from(level.0)), "master {id}");
        assert_eq!(cluster.status(id).await["level"], level.0, "master {id}");
    }
}

/// Gives a worker more labels than this release's level allows: at one level, masters of both
/// releases decide alike.
async fn label_beyond_this_level(cluster: &Cluster) -> Option<String> {
    let mut problem = None;
    for (from, to) in [0, LABELS[0]].into_iter().zip(LABELS) {
        let labels = (from..to).map(|number| (format!("label-{number}"), json!("1")));
        let body = json!({"set": labels.collect::<serde_json::Map<_, _>>()});
        let answer = cluster.client().post("/api/workers/worker-1/labels", &body).await.unwrap();
        assert!(answer.status.is_success() || to == LABELS[1], "{}", answer.text());
        problem = answer.problem();
    }
    problem
}

async fn lead(cluster: &Cluster, id: u64) {
    eventually(&format!("master {id} leads"), PATIENCE, async || {
        // It may lead already, or be too far behind for a moment.
        cluster.clusterctl(&["leader", "transfer", "--to", &id.to_string()]).await;
        let status = cluster.probe(id, "/leader").await;
        require(status == Some(200), || format!("{status:?}"))
    })
    .await;
}
