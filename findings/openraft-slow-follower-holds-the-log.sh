#!/usr/bin/env bash
# openraft: one follower that is slow, and no worse than slow, keeps the leader from purging any log.
#
# The guess: `SnapshotPolicy::LogsSinceLast(200)` and `max_in_snapshot_log_to_keep: 100` bound the
# leader's log, and a follower further behind than `replication_lag_threshold` is sent a snapshot, as
# that setting is documented. At worst, the log is kept from where the slowest follower is.
# Seen (openraft 0.10.0-alpha.37, three voters, 2,000 entries that the other two commit):
# - With a third voter that cannot be reached, the leader holds 192 entries at the end.
# - With one that takes entries all the time and is always 500 behind (the threshold is 300), it holds
#   all 2,092, also the 1,580 or so that the third has. No snapshot is sent. `trigger().purge_log()`
#   returns Ok and purges nothing, not even up to an entry that all three have.
# - The same with one that answers heartbeats and leaves its stream of entries open and unanswered. A
#   stream that ends there changes nothing; one that ends with an error sets the purge free.
# While a stream is open, everything after the follower's last answer counts as in flight, and a purge
# whose end is in flight waits as a whole, while each snapshot moves that end on (`try_purge_log`). The
# threshold is read where a learner is added, and nowhere else.
# It matters to whoever sizes a disk by these settings: the slowest follower decides. The documented
# advice, an error where a connection makes no progress, helps against the stalled one only. What helps
# is a bound of one's own on the lag, past which `stream_append` answers with an error.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "lagging"
version = "0.0.0"
edition = "2024"
[dependencies]
futures-util = "=0.3.34"
openraft = "=0.10.0-alpha.37"
openraft-legacy = "=0.10.0-alpha.37"
openraft-macros = "=0.10.0-alpha.37"
openraft-memstore = "=0.10.0-alpha.37"
openraft-rt = "=0.10.0-alpha.37"
openraft-rt-tokio = "=0.10.0-alpha.37"
tokio = { version = "=1.54.1", features = ["rt", "time", "sync"] }
TOML
cat >"$dir/src/main.rs" <<'RUST'
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::async_runtime::WatchReceiver;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use openraft::raft::{StreamAppendResult, VoteRequest, VoteResponse};
use openraft::storage::RaftLogReader;
use openraft::{Config, Raft, SnapshotPolicy};
use openraft_memstore::{ClientRequest, MemLogStore, MemStateMachine, TypeConfig, new_mem_store};
use tokio::sync::watch;
use tokio::time::sleep;

type Node = Raft<TypeConfig, Arc<MemStateMachine>>;
type Failed = RPCError<TypeConfig>;
type Answer = Result<StreamAppendResult<TypeConfig>, Failed>;
const LIMIT: Duration = Duration::from_secs(30);

/// What becomes of entries for the third node. All but `Fails` let heartbeats and snapshots pass.
#[derive(Clone, Copy, PartialEq)]
enum Third { Takes, Lags, Stalls, Ends, Fails }

#[derive(Clone)]
struct Network {
    nodes: Arc<Mutex<BTreeMap<u64, Node>>>,
    third: watch::Receiver<Third>,
    snapshots: Arc<AtomicUsize>,
    to: u64,
}

impl Network {
    fn third(&self) -> Third {
        if self.to == 3 { *self.third.borrow() } else { Third::Takes }
    }
    fn node(&self, id: u64) -> Node {
        self.nodes.lock().unwrap()[&id].clone()
    }
    fn peer(&self) -> Result<Node, Unreachable<TypeConfig>> {
        let is_away = self.third() == Third::Fails;
        if is_away { Err(Unreachable::from_string("away")) } else { Ok(self.node(self.to)) }
    }
    async fn answer(self, request: AppendEntriesRequest<TypeConfig>) -> Option<Answer> {
        while let Some(last) = request.entries.last() {
            match self.third() {
                Third::Takes | Third::Fails => break,
                Third::Lags if last_index(&self.node(1)) >= last.log_id.index + 500 => break,
                Third::Lags | Third::Stalls => sleep(Duration::from_millis(1)).await,
                Third::Ends => return None,
            }
        }
        let peer = match self.peer() {
            Ok(peer) => peer,
            Err(away) => return Some(Err(away.into())),
        };
        let answer = Box::pin(peer.stream_append(stream::iter([request]))).next().await?;
        Some(answer.map_err(|fatal| Unreachable::new(&fatal).into()))
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Self;
    async fn new_client(&mut self, to: u64, _: &()) -> Self {
        Self { to, ..self.clone() }
    }
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = Cursor<Vec<u8>>;
    fn stream_append<'s, S>(
        &'s mut self, input: S, _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Answer>, Failed>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let network = self.clone();
        let answers = input.scan((), move |(), request| network.clone().answer(request));
        Box::pin(async move { Ok(Box::pin(answers) as BoxStream<'s, Answer>) })
    }
    async fn append_entries(
        &mut self, _: AppendEntriesRequest<TypeConfig>, _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failed> {
        unreachable!("all goes through stream_append")
    }
    async fn vote(
        &mut self, request: VoteRequest<TypeConfig>, _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        Ok(self.peer()?.vote(request).await.map_err(|error| Unreachable::new(&error))?)
    }
    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Cursor<Vec<u8>>>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let peer = self.peer()?;
        self.snapshots.fetch_add(1, Ordering::Relaxed);
        let taken = peer.install_full_snapshot(vote, snapshot).await;
        Ok(taken.map_err(|fatal| Unreachable::new(&fatal))?)
    }
}

fn last_index(node: &Node) -> u64 {
    node.metrics().borrow_watched().last_log_index.unwrap_or(0)
}

/// Entries that a log holds, when it has had its time to get under 500.
async fn held(log: &Arc<MemLogStore>) -> usize {
    let (mut log, since) = (log.clone(), Instant::now());
    loop {
        let count = log.try_get_log_entries(0..u64::MAX).await.unwrap().len();
        if count < 500 || since.elapsed() > Duration::from_secs(3) {
            return count;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn write(leader: &Node, count: u64) {
    for serial in 0..count {
        let (client, status) = ("client".into(), "status".into());
        leader.client_write(ClientRequest { client, serial, status }).await.unwrap();
    }
}

async fn run(name: &str, becomes: Third) {
    let config = Config {
        snapshot_policy: SnapshotPolicy::LogsSinceLast(200),
        max_in_snapshot_log_to_keep: 100,
        replication_lag_threshold: 300,
        max_payload_entries: 10,
        heartbeat_interval: 500,
        election_timeout_min: 30_000,
        election_timeout_max: 60_000,
        ..Config::default()
    };
    let config = Arc::new(config.validate().unwrap());
    let (third, watched) = watch::channel(Third::Takes);
    let (nodes, snapshots) = (Arc::default(), Arc::default());
    let network = Network { nodes, third: watched, snapshots, to: 0 };
    let mut logs = BTreeMap::new();
    for id in 1..=3 {
        let (log, machine) = new_mem_store();
        logs.insert(id, log.clone());
        let node = Raft::new(id, config.clone(), network.clone(), log, machine).await.unwrap();
        network.nodes.lock().unwrap().insert(id, node);
    }
    let leader = network.node(1);
    leader.initialize(BTreeMap::from([(1, ()), (2, ()), (3, ())])).await.unwrap();
    leader.wait(Some(LIMIT)).current_leader(1, "leads").await.unwrap();
    write(&leader, 90).await;
    network.node(3).wait(Some(LIMIT)).applied_index_at_least(Some(90), "taken").await.unwrap();

    third.send_replace(becomes);
    write(&leader, 2_000).await;
    let (of_leader, of_second) = (&logs[&1], &logs[&2]);
    let (on_leader, on_second) = (held(of_leader).await, held(of_second).await);
    let behind = last_index(&network.node(3));
    println!("{name}: the leader holds {on_leader}, the second {on_second}; the third is at {behind}");
    assert!(on_second < 500);
    assert!(leader.metrics().borrow_watched().snapshot.is_some_and(|made| made.index >= 1_800));
    if becomes == Third::Fails {
        return assert!(on_leader < 500);
    }
    assert!(on_leader > 2_000 && (becomes == Third::Stalls || behind > 1_520));
    for upto in [1_500, 1_950] {
        let asked = leader.trigger().purge_log(upto).await;
        let on_leader = held(of_leader).await;
        println!("  purge_log({upto}) is {asked:?}: the leader holds {on_leader}");
        assert!(asked.is_ok() && on_leader > 2_000);
    }
    assert_eq!(network.snapshots.load(Ordering::Relaxed), 0);
    if becomes == Third::Stalls {
        third.send_replace(Third::Ends);
        let after_end = held(of_leader).await;
        third.send_replace(Third::Fails);
        let after_error = held(of_leader).await;
        println!("  streams that end: {after_end}; one that ends with an error: {after_error}");
        assert!(after_end > 2_000 && after_error < 500);
    }
}

fn main() {
    let cases = [("fails", Third::Fails), ("lags", Third::Lags), ("stalls", Third::Stalls)];
    for (name, becomes) in cases {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(name, becomes));
    }
}
RUST
cargo run -q --manifest-path "$dir/Cargo.toml" --target-dir "$dir/target"
echo "as described"
