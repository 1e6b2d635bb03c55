//! Masters and workers of two releases run as one cluster, in every order of an upgrade, and back
//! again until the level has risen.

mod digests;
mod next_release;
mod pair;
mod release_before;

use std::time::Duration;

use cluster_state::Level;
use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster, Release};
use cluster_tests::load::{Load, Plan};
use eventually::{PATIENCE, eventually, require};

use self::digests::Replicas;
use self::pair::Pair;

/// Time for the leader to find that every master can run the next level: it asks every ten seconds.
const RISE_PATIENCE: Duration = Duration::from_secs(25);

/// Turn of the workers in an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workers {
    /// Before all masters.
    First,
    /// When the level has risen.
    Last,
    /// Never.
    Stay,
}

/// Upgrades the masters one by one while clients submit; the leader is the one at `place`, from 0. Each
/// leads as soon as it is upgraded.
async fn upgrade(pair: Pair, place: usize, workers: Workers) {
    let mut cluster = start(pair, 2).await;
    let watch = cluster.watch_leaders();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(30).await;
    if workers == Workers::First {
        replace_workers(&mut cluster, pair.newer, &load).await;
    }
    let first = cluster.leader().await;
    let mut order = cluster.others(first);
    order.insert(place, first);

    for (id, upgraded) in order.into_iter().zip(1..) {
        upgrade_one(&mut cluster, pair, id, &load).await;
        if upgraded < 3 {
            Replicas::of(&cluster).await.assert_same().await;
        }
    }

    await_rise(&mut cluster, pair).await;
    load.progress(30).await;
    pair.assert_accepted(&cluster).await;
    Replicas::of(&cluster).await.assert_same().await;
    if workers == Workers::Last {
        replace_workers(&mut cluster, pair.newer, &load).await;
    }

    println!("longest gap between two acknowledgments: {:?}", load.longest_gap());

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

/// Upgrades a master, which leads then.
async fn upgrade_one(cluster: &mut Cluster, pair: Pair, id: u64, load: &Load) {
    assert_levels(cluster, pair.older_level).await;
    pair.assert_refused(cluster).await;
    cluster.replace_program(id, pair.newer).await;
    cluster.await_ready(id).await;
    assert_eq!(cluster.own_status(id).await["level_max"], pair.newer_level.0);
    load.progress(20).await;
    lead(cluster, id).await;
    load.progress(20).await;
}

/// Runs the newer release on each master, and then the older one again on what it has written.
async fn go_back(pair: Pair, workers: Workers) {
    let mut cluster = start(pair, 2).await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;

    for id in cluster.master_ids() {
        cluster.replace_program(id, pair.newer).await;
        cluster.await_ready(id).await;
        lead(&cluster, id).await;
        load.progress(20).await;
        cluster.replace_program(id, pair.older).await;
        cluster.await_ready(id).await;
        load.progress(20).await;
        Replicas::of(&cluster).await.assert_same().await;
    }
    if workers != Workers::Stay {
        replace_workers(&mut cluster, pair.newer, &load).await;
        replace_workers(&mut cluster, pair.older, &load).await;
    }

    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert_levels(&mut cluster, pair.older_level).await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// Upgrades all masters, and starts one with the older release on its data. Returns it: it has said
/// what it lacks.
async fn stay_out(pair: Pair) -> (Cluster, u64) {
    let mut cluster = start(pair, 1).await;
    for id in cluster.master_ids() {
        cluster.replace_program(id, pair.newer).await;
        cluster.await_ready(id).await;
    }
    await_rise(&mut cluster, pair).await;
    let leader = cluster.leader().await;
    let older = cluster.others(leader)[0];

    cluster.replace_program(older, pair.older).await;
    await_refusal(&mut cluster, older, pair).await;
    let task = cluster.effects().task("beside-the-refused");
    let id = cluster.client_without(older).submit(&task).await;
    cluster.client_without(older).await_state(&id, "completed").await;
    (cluster, older)
}

/// Starts the refused master with the newer release: it has everything.
async fn come_back(mut cluster: Cluster, id: u64, release: Release) {
    cluster.start_program(id, release);
    cluster.await_ready(id).await;
    Replicas::of(&cluster).await.assert_same().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// Waits until the master has ended with one line that names the level.
async fn await_refusal(cluster: &mut Cluster, id: u64, pair: Pair) {
    let status = cluster.master_mut(id).wait(PATIENCE).await;
    assert!(!status.success(), "master {id} ended well");
    let log = cluster.master(id).log();
    let last = log.lines().last().unwrap_or_default();
    eprintln!("{last}");
    let needed = format!("level {}", pair.newer_level);
    let known = format!("levels up to {}", pair.older_level);
    assert!(last.contains(&needed) && last.contains(&known), "{last}");
    assert!(!log.contains("panicked"), "{log}");
}

/// Restarts the workers with a release, one by one.
async fn replace_workers(cluster: &mut Cluster, release: Release, load: &Load) {
    for name in cluster.worker_names() {
        cluster.replace_worker_program(&name, release).await;
        cluster.client().await_worker(&name, "active", CONNECT_PATIENCE).await;
        load.progress(20).await;
    }
}

/// Waits until every master has reached the newer level, and what came with it is in use.
async fn await_rise(cluster: &mut Cluster, pair: Pair) {
    for id in cluster.master_ids() {
        await_level(cluster, id, pair.newer_level).await;
    }
    let sign = pair.sign();
    eventually(&format!("a leader says: {sign}"), RISE_PATIENCE, async || {
        let is_said = cluster.masters().any(|one| one.log().contains(sign));
        require(is_said, || "no log says so".to_owned())
    })
    .await;
}

/// Starts a cluster of the older release, and waits until it has reached the release's level.
async fn start(pair: Pair, workers: usize) -> Cluster {
    let mut cluster = Cluster::builder().release(pair.older).workers(workers).start().await;
    for id in cluster.master_ids() {
        await_level(&mut cluster, id, pair.older_level).await;
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

async fn lead(cluster: &Cluster, id: u64) {
    eventually(&format!("master {id} leads"), PATIENCE, async || {
        // It may lead already, or be too far behind for a moment.
        cluster.clusterctl(&["leader", "transfer", "--to", &id.to_string()]).await;
        let status = cluster.probe(id, "/leader").await;
        require(status == Some(200), || format!("{status:?}"))
    })
    .await;
}
