//! openraft's conformance suite, with the usual cache and with none.

use cluster_state::MasterId;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use raft_store::{LogOptions, LogStore, StateMachine, Store, StoreConfig, TypeConfig};
use tempfile::TempDir;

struct Builder {
    cache_bytes_max: usize,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let cache_bytes_max = self.cache_bytes_max;
        let log = LogOptions { cache_bytes_max, ..LogOptions::default() };
        let config = StoreConfig { log, ..StoreConfig::new(dir.path(), MasterId(1)) };
        let Store { log, machine, .. } = Store::open(config).unwrap();
        Ok((dir, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_with_the_usual_cache() {
    let cache_bytes_max = LogOptions::default().cache_bytes_max;
    Suite::test_all(Builder { cache_bytes_max }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_without_a_cache() {
    Suite::test_all(Builder { cache_bytes_max: 0 }).await.unwrap();
}
