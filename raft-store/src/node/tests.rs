//! A node in a process that lives on although the node does not.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::open::StoreConfig;
use crate::propose::ProposalBounds;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_raft_is_fatal_unless_the_node_was_stopped() {
    for is_stopped in [false, true] {
        let dir = TempDir::new().unwrap();
        let store = Store::open(StoreConfig::new(dir.path(), MasterId(1))).unwrap();
        let config = NodeConfig {
            id: MasterId(1),
            cluster_name: "test".to_owned(),
            initial_cluster: BTreeMap::from([(MasterId(1), "127.0.0.1:1".to_owned())]),
            http_address: String::new(),
            heartbeat_interval: Duration::from_millis(50),
            election_timeout: (Duration::from_millis(250), Duration::from_millis(400)),
            snapshot_every: 1_000,
            log_kept: 10,
            bounds: ProposalBounds::default(),
            wall: Arc::new(crate::clock::SystemClock),
        };
        let node = Node::start(config, store).await.unwrap();
        if is_stopped {
            node.shutdown().await;
            node.tasks().wait().await;
            assert_eq!(node.fatal().reason(), None);
        } else {
            node.raft().shutdown().await.unwrap();
            let raised = tokio::time::timeout(Duration::from_secs(20), node.fatal().raised());
            let reason = raised.await.unwrap();
            assert!(reason.starts_with("replication has ended"), "{reason}");
        }
    }
}
