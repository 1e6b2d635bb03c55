//! Random faults from a seed that is printed, and every promise checked at the end.
//!
//! `CLOUDAI_CHAOS_SEED` repeats the faults of an earlier run, `CLOUDAI_CHAOS_SECONDS` prolongs it.

use std::time::{Duration, Instant};

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

const SECONDS_DEFAULT: u64 = 30;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillLeader,
    KillMaster,
    KillAllMasters,
    FreezeLeader,
    StopMaster,
    KillWorker,
    FreezeWorker,
}

const FAULTS: [Fault; 7] = [
    Fault::KillLeader,
    Fault::KillMaster,
    Fault::KillAllMasters,
    Fault::FreezeLeader,
    Fault::StopMaster,
    Fault::KillWorker,
    Fault::FreezeWorker,
];

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_kept_whatever_fails() {
    let seed = number_from("CLOUDAI_CHAOS_SEED").unwrap_or_else(|| rand::rng().random());
    let span = number_from("CLOUDAI_CHAOS_SECONDS").unwrap_or(SECONDS_DEFAULT);
    eprintln!("to see this again: CLOUDAI_CHAOS_SEED={seed} CLOUDAI_CHAOS_SECONDS={span}");
    let mut random = StdRng::seed_from_u64(seed);
    // Leases are short enough to run out, and long enough for a leader to be elected meanwhile.
    let mut cluster = Cluster::builder()
        .workers(3)
        .master_arg("--worker-heartbeat-interval", "300ms")
        .master_arg("--worker-heartbeat-timeout", "1s")
        .master_arg("--worker-lease", "4s")
        .start()
        .await;
    let watch = cluster.watch_leaders();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);

    let end = Instant::now() + Duration::from_secs(span);
    while Instant::now() < end {
        let fault = *FAULTS.choose(&mut random).unwrap();
        let span = Duration::from_millis(random.random_range(100..2_500));
        eprintln!("{fault:?} for {span:?}");
        inflict(&mut cluster, fault, span, &mut random).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1_500))).await;
    }

    cluster.await_all_ready().await;
    let tally = load.stop().await;
    println!("{} accepted, longest gap {:?}", tally.accepted(), tally.longest_gap());
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
}

/// The fault lasts for `span`; afterwards everything runs again.
async fn inflict(cluster: &mut Cluster, fault: Fault, span: Duration, random: &mut StdRng) {
    let masters = cluster.master_ids();
    let master = *masters.choose(random).unwrap();
    let worker = cluster.worker_names().choose(random).unwrap().clone();
    match fault {
        Fault::KillLeader => {
            let leader = cluster.leader().await;
            kill_masters(cluster, &[leader], span).await;
        }
        Fault::KillMaster => kill_masters(cluster, &[master], span).await,
        Fault::KillAllMasters => kill_masters(cluster, &masters, span).await,
        Fault::FreezeLeader => {
            let leader = cluster.leader().await;
            cluster.master(leader).freeze();
            tokio::time::sleep(span).await;
            cluster.master(leader).thaw();
        }
        Fault::StopMaster => {
            cluster.master(master).terminate();
            cluster.master_mut(master).wait(Duration::from_secs(16)).await;
            cluster.master_mut(master).restart();
        }
        Fault::KillWorker => {
            cluster.worker_mut(&worker).process().kill();
            tokio::time::sleep(span).await;
            cluster.worker_mut(&worker).start();
        }
        Fault::FreezeWorker => {
            cluster.worker_mut(&worker).process().freeze();
            tokio::time::sleep(span.saturating_mul(2)).await;
            cluster.worker_mut(&worker).process().thaw();
        }
    }
}

async fn kill_masters(cluster: &mut Cluster, ids: &[u64], span: Duration) {
    for id in ids {
        cluster.master_mut(*id).kill();
    }
    tokio::time::sleep(span).await;
    for id in ids {
        cluster.master_mut(*id).restart();
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
