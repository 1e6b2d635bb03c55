//! Configures and opens the two RocksDB instances.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, ErrorKind, FlushOptions, LogLevel, Options,
};

use crate::error::{OpenError, StorageError};
use crate::keys::{LogTable, Table};

const MIB: usize = 1 << 20;

/// The write-ahead log of the log instance is replayed at each start: this bounds the time.
const LOG_WAL_BYTES_MAX: u64 = 64 << 20;

/// One memtable of the log instance; three of them bound its memory.
const LOG_MEMTABLE_BYTES: usize = 16 * MIB;

/// Reads of old log entries are rare: followers far behind, and restarts.
const LOG_CACHE_BYTES: usize = 8 * MIB;

/// Memtables of the state instance, all tables together. With [`STATE_CACHE_BYTES`] this makes
/// the 128 MiB that a master may spend on it.
const STATE_MEMTABLE_BYTES: usize = 64 * MIB;

/// Blocks, indexes and filters of the state instance.
const STATE_CACHE_BYTES: usize = 64 * MIB;

/// Ten bits a key: one lookup in a hundred of an absent key reads a block.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Files that one instance keeps open, at most and at least.
const FILES_MAX: u32 = 512;
const FILES_MIN: u32 = 32;
/// Share of all files that the process may open which one instance may take.
const FILES_PART: u64 = 8;

/// Returns the number of files that each instance keeps open in a process that may open `limit`.
#[must_use]
pub fn files_per_database(limit: u64) -> u32 {
    u32::try_from(limit / FILES_PART).unwrap_or(FILES_MAX).clamp(FILES_MIN, FILES_MAX)
}

fn files_max() -> i32 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    i32::try_from(files_per_database(limit)).unwrap_or(i32::MAX)
}

fn shared_options() -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(2);
    options.set_max_open_files(files_max());
    options.set_skip_stats_update_on_db_open(true);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options
}

/// Describes the column family that RocksDB creates by itself, and that nobody writes to. It gets
/// the smallest possible write buffer: after a full disk RocksDB writes again only once there is
/// room for that.
fn unused_table() -> ColumnFamilyDescriptor {
    let mut options = Options::default();
    options.set_write_buffer_size(64 << 10);
    ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options)
}

fn log_options() -> Options {
    let mut options = shared_options();
    // The default mode stops at the first damaged record and silently drops all that follow. This
    // one tolerates only a torn last record, which no sync has covered.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(LOG_WAL_BYTES_MAX);
    options
}

fn log_tables() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(LOG_CACHE_BYTES);
    let describe = |table: LogTable| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(LOG_MEMTABLE_BYTES);
        options.set_max_write_buffer_number(3);
        ColumnFamilyDescriptor::new(table.name(), options)
    };
    LogTable::ALL.into_iter().map(describe).collect()
}

fn state_options() -> Options {
    let mut options = shared_options();
    // Nothing is written to a WAL, so the tables must reach the disk together: a record of the last
    // applied entry that came first would hide entries that must still be applied.
    options.set_atomic_flush(true);
    options.set_db_write_buffer_size(STATE_MEMTABLE_BYTES);
    options
}

fn state_tables() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(STATE_CACHE_BYTES);
    let describe = |table: Table| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(STATE_MEMTABLE_BYTES / 2);
        options.set_max_write_buffer_number(4);
        ColumnFamilyDescriptor::new(table.name(), options)
    };
    Table::ALL.into_iter().map(describe).collect()
}

pub(crate) fn open_log(path: &Path) -> Result<DB, OpenError> {
    open(log_options(), path, log_tables())
}

pub(crate) fn open_state(path: &Path) -> Result<DB, OpenError> {
    open(state_options(), path, state_tables())
}

fn open(
    mut options: Options,
    path: &Path,
    mut tables: Vec<ColumnFamilyDescriptor>,
) -> Result<DB, OpenError> {
    tables.push(unused_table());
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    DB::open_cf_descriptors(&options, path, tables).map_err(|error| refuse(path, error))
}

/// Opens the log without changing anything on disk.
pub(crate) fn open_log_read_only(path: &Path) -> Result<DB, OpenError> {
    let names = LogTable::ALL.map(LogTable::name);
    DB::open_cf_for_read_only(&log_options(), path, names, false)
        .map_err(|error| refuse(path, error))
}

/// Opens a state or a checkpoint of one without changing anything on disk.
pub(crate) fn open_state_read_only(path: &Path) -> Result<DB, OpenError> {
    let names = Table::ALL.map(Table::name);
    DB::open_cf_for_read_only(&state_options(), path, names, false)
        .map_err(|error| refuse(path, error))
}

fn refuse(path: &Path, source: rocksdb::Error) -> OpenError {
    let path = path.to_owned();
    let is_kind = |kind| source.kind() == kind;
    if is_kind(ErrorKind::IOError) && source.as_ref().contains("lock") {
        return OpenError::Locked(path);
    }
    if is_kind(ErrorKind::Corruption) {
        return OpenError::Damaged { path, source };
    }
    OpenError::Database { path, source }
}

/// Returns a table's handle.
pub(crate) fn table<'db>(
    database: &'db DB,
    name: &'static str,
) -> Result<&'db ColumnFamily, StorageError> {
    database.cf_handle(name).ok_or(StorageError::NoTable(name))
}

/// Makes everything that was written to a state instance durable.
pub(crate) fn flush_state(database: &DB) -> Result<(), StorageError> {
    let tables = Table::ALL
        .into_iter()
        .map(|name| table(database, name.name()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut options = FlushOptions::default();
    options.set_wait(true);
    database.flush_cfs_opt(&tables.iter().collect::<Vec<_>>(), &options)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Returns RocksDB's own account of its use of the column family that nobody writes to.
    fn unused_write_buffer(path: &Path) -> String {
        let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let is_options = |path: &std::path::PathBuf| {
            path.file_name().unwrap().to_string_lossy().starts_with("OPTIONS-")
        };
        let text = std::fs::read_to_string(files.filter(is_options).max().unwrap()).unwrap();
        let (_, text) = text.split_once("[CFOptions \"default\"]").unwrap();
        let size = text.lines().find_map(|line| line.trim().strip_prefix("write_buffer_size="));
        size.unwrap().to_owned()
    }

    #[test]
    fn a_table_that_nobody_writes_to_needs_no_room() {
        let home = TempDir::new().unwrap();
        for (name, open) in [("log", open_log as fn(&Path) -> _), ("state", open_state)] {
            let path = home.path().join(name);
            // The second time as it is with a store in use.
            for _ in 0..2 {
                drop(open(&path).unwrap());
                assert_eq!(unused_write_buffer(&path), "65536", "{name}");
            }
        }
    }
}
