//! Counts what a checkpoint holds, by reading every live record.

use std::collections::BTreeMap;
use std::path::Path;

use cluster_state::{IdempotencyRecord, JoinToken, Meta, Task, TaskStateKind, Worker};
use rocksdb::IteratorMode;

use crate::error::StorageError;
use crate::keys::{StateRecord, Table};
use crate::rocks;
use crate::state_db::rows;

/// Numbers of a state's records.
#[derive(Debug)]
pub(super) struct Census {
    pub(super) meta: Meta,
    /// Number of live tasks in each state, without zeros.
    pub(super) tasks: BTreeMap<TaskStateKind, u64>,
    pub(super) finished: u64,
    pub(super) workers: u64,
    pub(super) tokens: u64,
    pub(super) keys: u64,
}

impl Census {
    /// Counts the records of a checkpoint.
    pub(super) fn of(checkpoint: &Path) -> Result<Self, StorageError> {
        let database = rocks::open_state_read_only(checkpoint)?;
        let table = |table: Table| rocks::table(&database, table.name());
        let meta = database.get_cf(table(Table::Records)?, StateRecord::Meta.key())?;
        let meta = meta.map(|meta| crate::codec::decode::<Meta>(&meta)).transpose()?;

        let mut tasks = BTreeMap::new();
        for task in rows::<Task>(&database, table(Table::Tasks)?) {
            let count = tasks.entry(task?.state.kind()).or_insert(0_u64);
            *count = count.saturating_add(1);
        }
        let (mut workers, mut tokens, mut keys) = (0_u64, 0_u64, 0_u64);
        for worker in rows::<Worker>(&database, table(Table::Workers)?) {
            worker?;
            workers = workers.saturating_add(1);
        }
        for token in rows::<JoinToken>(&database, table(Table::Tokens)?) {
            token?;
            tokens = tokens.saturating_add(1);
        }
        for key in rows::<IdempotencyRecord>(&database, table(Table::Idempotency)?) {
            key?;
            keys = keys.saturating_add(1);
        }
        // Their keys are small. RocksDB's own estimate is none for a database that was just opened.
        let mut finished = 0_u64;
        for row in database.iterator_cf(table(Table::HistoryByFinish)?, IteratorMode::Start) {
            row?;
            finished = finished.saturating_add(1);
        }
        Ok(Self { meta: meta.unwrap_or_default(), tasks, finished, workers, tokens, keys })
    }
}
