//! Every master is restarted in turn, as in an upgrade, while clients submit.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};

/// A master that is asked to stop ends by itself within 15 seconds; without connections that
/// cannot be ended, at once.
const STOP_PATIENCE: Duration = Duration::from_secs(14);
/// Handing leadership over takes milliseconds, an election a second: this is for a machine that
/// does other work too.
const GAP_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn no_idempotent_submission_fails() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let watch = cluster.watch_leaders();
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(50).await;

    // The leader last: leadership moves at least once, whoever leads by then.
    let leader = cluster.leader().await;
    let mut order = cluster.others(leader);
    order.push(leader);
    for id in order {
        cluster.master(id).terminate();
        let status = cluster.master_mut(id).wait(STOP_PATIENCE).await;
        assert!(status.success(), "master {id} ended with {status}");
        load.progress(20).await;
        cluster.master_mut(id).restart();
        cluster.await_ready(id).await;
        load.progress(20).await;
    }

    let tally = load.stop().await;
    println!("longest gap between two acknowledgments: {:?}", tally.longest_gap());
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(tally.longest_gap() < GAP_MAX, "nobody was served for {:?}", tally.longest_gap());
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
    assert!(watch.finish().await > 0, "nobody ever led");
}
