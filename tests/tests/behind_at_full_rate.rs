//! Masters that are behind while clients write as fast as they can: the leader's log stays within its
//! bounds, and nobody is left behind for good.

use std::time::{Duration, Instant};

use cluster_tests::client::Client;
use cluster_tests::cluster::{Builder, Cluster};
use cluster_tests::load::{Load, Plan};
use eventually::eventually;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Each of three bounds of the log: of a snapshot's distance, behind it, and held for followers.
const BOUND: &str = "524288";
/// Bytes that the log may take: the three bounds, and what is written until the next pass has looked at
/// it and the snapshot that it asks for is there.
const LOG_BYTES_MAX: f64 = 8.0 * 1024.0 * 1024.0;
/// Bytes that are written while a follower is slow, at least: many times the bounds.
const WRITTEN_MIN: usize = 12 << 20;
/// Labels of a worker, which each write replaces: so the state does not grow.
const LABELS: usize = 30;
const LABEL_BYTES: usize = 60;
const WRITERS: usize = 16;
/// Half of the time the slow follower does nothing.
const STALL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

fn small_log() -> Builder {
    Cluster::builder()
        .workers(1)
        .master_arg("--raft-snapshot-every-bytes", BOUND)
        .master_arg("--raft-log-kept-bytes", BOUND)
        .master_arg("--raft-log-held-bytes", BOUND)
}

/// Clients that write without a pause, each to the record of a worker of its own.
struct Writers {
    writing: JoinSet<usize>,
    stop: CancellationToken,
}

impl Writers {
    async fn start(cluster: &mut Cluster) -> Self {
        let (mut writing, stop) = (JoinSet::new(), CancellationToken::new());
        let leader = cluster.leader().await;
        for number in 0..WRITERS {
            let worker = cluster.register_worker().await;
            let client = cluster.client_of(leader).sibling(number);
            writing.spawn(write_until(client, worker, stop.clone()));
        }
        Self { writing, stop }
    }

    /// Ends them; returns the bytes that were accepted.
    async fn stop(self) -> usize {
        self.stop.cancel();
        self.writing.join_all().await.into_iter().sum()
    }
}

async fn write_until(mut client: Client, worker: String, stop: CancellationToken) -> usize {
    let path = format!("/api/workers/{worker}/labels");
    let mut accepted = 0;
    for turn in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let value = format!("{turn:0LABEL_BYTES$}");
        let labels = (0..LABELS).map(|number| (format!("label-{number}"), json!(value)));
        let body = json!({ "set": Value::Object(labels.collect()) });
        if client.post(&path, &body).await.is_ok_and(|answer| answer.status.is_success()) {
            accepted += LABELS * LABEL_BYTES;
        }
    }
    accepted
}

async fn log_bytes(cluster: &Cluster, master: u64) -> f64 {
    cluster.client_of(master).metric("cloudai_raft_log_bytes").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_does_half_costs_the_leader_no_disk() {
    let mut cluster = small_log().start().await;
    let leader = cluster.leader().await;
    let slow = cluster.others(leader).pop().unwrap();
    let load = Load::start(&cluster.client_without(slow), cluster.effects(), Plan::STEADY);
    let writers = Writers::start(&mut cluster).await;

    let span = std::env::var("CLOUDAI_SLOW_FOLLOWER_SECONDS");
    let span = span.map_or(16, |seconds| seconds.parse::<u64>().unwrap());
    let until = Instant::now() + Duration::from_secs(span);
    let mut largest = 0.0_f64;
    while Instant::now() < until {
        for is_stalled in [true, false] {
            let phase_ends = Instant::now() + STALL;
            let master = cluster.master(slow);
            if is_stalled {
                master.freeze();
            } else {
                master.thaw();
            }
            while Instant::now() < phase_ends {
                largest = largest.max(log_bytes(&cluster, leader).await);
            }
        }
    }
    let written = writers.stop().await;
    println!("{written} bytes written, at most {largest} in the leader's log");
    assert!(largest < LOG_BYTES_MAX, "{largest} bytes in the log");
    assert!(written > WRITTEN_MIN, "only {written} bytes were written");

    load.progress(20).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.await_ready(slow).await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(cluster.master_mut(slow).exit_status().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_gets_its_vote_at_full_rate() {
    let mut cluster = small_log().start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    let writers = Writers::start(&mut cluster).await;
    load.progress(20).await;
    let id = cluster.add_master();
    eventually("the fourth master has a vote", PATIENCE, async || {
        let leader = cluster.leader().await;
        let status = cluster.status(leader).await;
        let of = |member: &&Value| member["id"] == id;
        match status["members"].as_array().unwrap().iter().find(of) {
            Some(member) if member["voter"] == true => Ok(()),
            member => Err(format!("{member:?}, {}", status["autopilot"])),
        }
    })
    .await;
    let written = writers.stop().await;
    println!("{written} bytes written");
    load.progress(20).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.await_all_ready().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
