//! Log time, when wall clocks are wrong.

use std::time::Duration;

use cluster_state::{ClusterId, Timestamp};
use raft_store::{SystemClock, WallClock, is_astray};

use crate::harness::{Cluster, register};

const TEN_DAYS: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// Returns the leader's latest stamp, once its term has begun.
async fn log_time(cluster: &Cluster) -> Timestamp {
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.node(cluster.leader().await);
    leader.propose(&register("w1")).await.unwrap();
    leader.reader().with(|state| state.meta().now)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_clock_is_wrong_leads_in_the_right_time() {
    let cluster = Cluster::start(100_000).await;
    log_time(&cluster).await;
    let old = cluster.node(cluster.leader().await);

    let to = cluster.follower().await;
    cluster.advance_walls(TEN_DAYS, |id| id == to);
    let (_, clocks) = old.survey().await;
    let offset = *clocks.offsets().get(&cluster.node(to).node_id()).unwrap();
    assert!(is_astray(offset) && offset > 863_000_000, "{offset}");
    assert_eq!(old.transfer_leader(Some(to)).await, Ok(to));

    let log_time = log_time(&cluster).await;
    assert_eq!(cluster.leader().await, to);
    let off = log_time.0.abs_diff(SystemClock.now().0);
    assert!(off < 5_000, "log time is {off} ms off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_begins_at_the_time_that_most_clocks_tell() {
    let cluster = Cluster::start(100_000).await;
    cluster.leader().await;
    cluster.advance_walls(TEN_DAYS, |_| true);
    let log_time = log_time(&cluster).await;
    assert!(log_time.since(SystemClock.now()) > TEN_DAYS / 2, "{log_time}");
}
