#!/usr/bin/env bash
# openraft: one `ChangeMembers::Batch` cannot take a voter out of the voters and out of the nodes.
#
# The guess: the changes of a batch "are applied in the order they are given", so `RemoveVoters({2})`
# followed by `RemoveNodes({2})` first makes node 2 a learner and then forgets it, in one change of
# membership, as it does in two calls.
# Seen (openraft 0.10.0-alpha.37): the batch is refused with `LearnerNotFound`, in either order, whatever
# `retain` is. A change has two steps, and the whole batch is computed for each: in the first step 2 is
# still a voter of the joint configuration and has no node any more. The two calls one after the other
# work, and so does `RemoveVoters({2})` alone with `retain: false`, which forgets the node in its second
# step.
# It matters to whoever wants to remove a member in one change that cannot stop halfway, as the batch
# promises: use `retain: false`, which also forgets every other voter that the change removes.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "batch"
version = "0.0.0"
edition = "2024"
[dependencies]
openraft = "=0.10.0-alpha.37"
openraft-legacy = "=0.10.0-alpha.37"
openraft-macros = "=0.10.0-alpha.37"
openraft-memstore = "=0.10.0-alpha.37"
openraft-rt = "=0.10.0-alpha.37"
openraft-rt-tokio = "=0.10.0-alpha.37"
tokio = { version = "=1.54.1", features = ["rt", "time", "macros"] }
TOML
cat >"$dir/src/main.rs" <<'RUST'
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use openraft::raft::{VoteRequest, VoteResponse};
use openraft::{ChangeMembers, Config, Raft};
use openraft_memstore::{MemStateMachine, TypeConfig, new_mem_store};

type Node = Raft<TypeConfig, Arc<MemStateMachine>>;
type Nodes = Arc<Mutex<BTreeMap<u64, Node>>>;
type Failed = RPCError<TypeConfig>;

/// Calls go straight to the other node of this process.
struct Wire {
    nodes: Nodes,
    to: u64,
}

impl Wire {
    fn peer(&self) -> Node {
        self.nodes.lock().unwrap()[&self.to].clone()
    }
}

impl RaftNetworkFactory<TypeConfig> for Wire {
    type Network = Self;
    async fn new_client(&mut self, to: u64, _: &()) -> Self {
        Self { nodes: self.nodes.clone(), to }
    }
}

impl RaftNetworkV2<TypeConfig> for Wire {
    type SnapshotData = Cursor<Vec<u8>>;
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failed> {
        let taken = self.peer().append_entries(request).await;
        Ok(taken.map_err(|error| Unreachable::new(&error))?)
    }
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        Ok(self.peer().vote(request).await.map_err(|error| Unreachable::new(&error))?)
    }
    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Cursor<Vec<u8>>>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let taken = self.peer().install_full_snapshot(vote, snapshot).await;
        Ok(taken.map_err(|error| Unreachable::new(&error))?)
    }
}

/// Starts a cluster of two voters, and returns the leader.
async fn pair() -> Node {
    let nodes = Nodes::default();
    let config = Config { election_timeout_min: 200, election_timeout_max: 300, ..Config::default() };
    let config = Arc::new(config.validate().unwrap());
    for id in [1, 2] {
        let (log, machine) = new_mem_store();
        let wire = Wire { nodes: nodes.clone(), to: 0 };
        let node = Raft::new(id, config.clone(), wire, log, machine).await.unwrap();
        nodes.lock().unwrap().insert(id, node);
    }
    let leader = nodes.lock().unwrap()[&1].clone();
    leader.initialize(BTreeSet::from([1, 2])).await.unwrap();
    let limit = Some(Duration::from_secs(30));
    let metrics = leader.wait(limit).metrics(|now| now.current_leader.is_some(), "a leader").await;
    let id = metrics.unwrap().current_leader.unwrap();
    let leader = nodes.lock().unwrap()[&id].clone();
    leader
}

/// Removes node 2 by these changes, one after the other, and says what becomes of the last.
async fn remove(retain: bool, changes: impl Fn(BTreeSet<u64>) -> Vec<ChangeMembers<u64, ()>>) -> String {
    let leader = pair().await;
    // The leader stays; the other one goes.
    let id = leader.metrics().borrow_watched().id;
    let other = BTreeSet::from([3 - id]);
    let mut last = String::new();
    for change in changes(other.clone()) {
        last = match leader.change_membership(change, retain).await {
            Ok(done) => {
                let nodes = done.membership.unwrap().nodes().count();
                format!("{nodes} node(s) left")
            }
            Err(error) => error.to_string().replace(&format!("{}", 3 - id), "N"),
        };
    }
    last
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let voters = |ids: &BTreeSet<u64>| ChangeMembers::RemoveVoters(ids.clone());
    let nodes = |ids: &BTreeSet<u64>| ChangeMembers::RemoveNodes(ids.clone());
    for retain in [true, false] {
        let batch = remove(retain, |ids| vec![ChangeMembers::Batch(vec![voters(&ids), nodes(&ids)])]);
        println!("batch, retain {retain}: {}", batch.await);
    }
    let turned = remove(true, |ids| vec![ChangeMembers::Batch(vec![nodes(&ids), voters(&ids)])]);
    println!("batch in the other order: {}", turned.await);
    println!("two calls: {}", remove(true, |ids| vec![voters(&ids), nodes(&ids)]).await);
    println!("retain false alone: {}", remove(false, |ids| vec![voters(&ids)]).await);
}
RUST
cargo run -q --manifest-path "$dir/Cargo.toml" --target-dir "$dir/target" | tee "$dir/seen"
refused="Learner N not found: add it as learner before adding it as a voter"
cat >"$dir/expected" <<TEXT
batch, retain true: $refused
batch, retain false: $refused
batch in the other order: $refused
two calls: 1 node(s) left
retain false alone: 1 node(s) left
TEXT
diff "$dir/expected" "$dir/seen"
echo "as described"
