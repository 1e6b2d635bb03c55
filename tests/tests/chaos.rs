//! Random faults from a seed that is printed, and every promise checked at the end.
//!
//! `CLOUDAI_CHAOS_SEED` repeats the faults of an earlier run, `CLOUDAI_CHAOS_SECONDS` prolongs it.
//! Where this machine cannot hold others (only root may make hosts and disks), the faults of
//! networks, disks and clocks are left out, and the test says so.

mod faults;
mod stranger;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster_tests::cluster::{Builder, Cluster};
use cluster_tests::load::{Load, Plan};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use self::faults::Fault;

const SECONDS_DEFAULT: u64 = 60;
const WORKERS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_kept_whatever_fails() {
    let seed = number_from("CLOUDAI_CHAOS_SEED").unwrap_or_else(|| rand::rng().random());
    let span = number_from("CLOUDAI_CHAOS_SECONDS").unwrap_or(SECONDS_DEFAULT);
    eprintln!("to see this again: CLOUDAI_CHAOS_SEED={seed} CLOUDAI_CHAOS_SECONDS={span}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = match described().start_on_machines().await {
        Ok(cluster) => cluster,
        Err(obstacle) => {
            eprintln!("SKIPPED: no faults of networks, disks and clocks: {obstacle}");
            described().start().await
        }
    };
    let faults = Fault::possible(&cluster);
    let watch = cluster.watch_leaders();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);

    let mut counts = BTreeMap::<String, u32>::new();
    // Each kind at least once before chance decides, where there is time for all.
    let mut due = faults.clone();
    let end = Instant::now() + Duration::from_secs(span);
    while Instant::now() < end {
        let fault = match due.len() {
            0 => *faults.choose(&mut random).unwrap(),
            count => due.swap_remove(random.random_range(0..count)),
        };
        let span = Duration::from_millis(random.random_range(100..2_500));
        eprintln!("{fault:?} for {span:?}");
        *counts.entry(format!("{fault:?}")).or_default() += 1;
        faults::inflict(&mut cluster, fault, span, &mut random).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1_500))).await;
        faults::check_nobody_gave_up(&mut cluster);
    }

    cluster.await_all_ready().await;
    let tally = load.stop().await;
    let total = counts.values().sum::<u32>();
    println!("{total} faults: {counts:?}");
    println!("{} accepted, longest gap {:?}", tally.accepted(), tally.longest_gap());
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
    faults::check_nobody_gave_up(&mut cluster);
}

/// Leases are short enough to run out, and long enough for a leader to be elected meanwhile.
fn described() -> Builder {
    Cluster::builder()
        .workers(WORKERS)
        .master_arg("--worker-heartbeat-interval", "300ms")
        .master_arg("--worker-heartbeat-timeout", "1s")
        .master_arg("--worker-lease", "4s")
        // Snapshots are made, sent and installed all the time.
        .master_arg("--raft-snapshot-every", "1000")
        .master_arg("--raft-log-kept", "200")
        .master_arg("--raft-log-held-bytes", "100000")
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
