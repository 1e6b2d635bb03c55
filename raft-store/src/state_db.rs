//! The state instance of RocksDB: where it lies, and how the state is read back from it.
//!
//! ```text
//! state/CURRENT      names the database in use
//! state/db-N/        RocksDB; a snapshot is installed as a new one
//! state/snapshots/   checkpoints that are held for sending; gone after a restart
//! state/incoming/    a snapshot that is being received
//! ```

mod batch;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use cluster_state::{
    ClusterId, IdempotencyRecord, LeaderRecord, Level, Limits, Meta, Record, State, Task, Term,
};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode};

pub(crate) use self::batch::Batch;
use self::batch::Tables;
use crate::codec::{self, Versioned};
use crate::error::{OpenError, StorageError};
use crate::files::{self, Directory};
use crate::keys::{NumberKey, StateRecord};
use crate::rocks;
use crate::types::{LogId, StoredMembership};

const DATABASE_PREFIX: &str = "db-";

/// Tasks that pass at a time from the thread that reads them to the one that restores them.
const CHUNK_TASKS: usize = 1024;
/// Chunks that may wait in between.
const CHUNKS_AHEAD: usize = 4;

/// An open database in its directory.
#[derive(Debug)]
pub(crate) struct StateDb {
    // Dropped first: RocksDB must be closed before its directory is removed.
    database: DB,
    directory: Directory,
}

impl StateDb {
    pub(crate) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let database = rocks::open_state(&path)?;
        Ok(Self { database, directory: Directory::new(path) })
    }

    pub(crate) const fn database(&self) -> &DB {
        &self.database
    }

    /// Opens a database that is removed when its last user is done, unless it is kept.
    pub(crate) fn open_temporary(path: PathBuf) -> Result<Self, OpenError> {
        let directory = Directory::temporary(path);
        let database = rocks::open_state(directory.path())?;
        Ok(Self { database, directory })
    }

    /// Keeps the directory of a temporary database.
    pub(crate) fn keep(&self) {
        self.directory.keep();
    }

    /// Removes the directory once the last user is done.
    pub(crate) fn give_up(&self) {
        self.directory.give_up();
    }
}

/// Position and identity of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) cluster: Option<ClusterId>,
    /// Counters of the state; absent from an empty one.
    pub(crate) meta: Option<Meta>,
}

impl Position {
    pub(crate) fn load(database: &DB) -> Result<Self, StorageError> {
        let tables = Tables::of(database)?;
        let record = |record: StateRecord| database.get_cf(tables.records, record.key());
        let applied = record(StateRecord::Applied)?;
        let membership = record(StateRecord::Membership)?;
        let meta =
            record(StateRecord::Meta)?.map(|meta| codec::decode::<Meta>(&meta)).transpose()?;
        if let Some(Meta { level, .. }) = meta {
            check_level(level)?;
        }
        let membership = match membership {
            Some(bytes) => codec::decode_json(&bytes)?,
            None => StoredMembership::default(),
        };
        codec::check_stored(&membership)?;
        Ok(Self {
            applied: applied.map(|bytes| codec::decode_json(&bytes)).transpose()?,
            membership,
            cluster: meta.and_then(|meta| meta.cluster),
            meta,
        })
    }
}

/// The state as it was read back.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) state: State,
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Restored {
    /// Reads all live records. Finished tasks stay on disk.
    pub(crate) fn load(database: &DB) -> Result<Self, StorageError> {
        let Position { applied, membership, .. } = Position::load(database)?;
        let tables = Tables::of(database)?;
        let mut state = State::new();

        if let Some(meta) = database.get_cf(tables.records, StateRecord::Meta.key())? {
            state.restore(Record::Meta(codec::decode(&meta)?));
        }
        for leader in rows::<LeaderRecord>(database, tables.leaders) {
            state.restore(Record::Leader(leader?));
        }

        for worker in rows(database, tables.workers) {
            state.restore(Record::Worker(worker?));
        }
        restore_tasks(database, &mut state)?;

        // The state keeps the keys by age, which is the order in which they were accepted.
        let mut keys = rows::<IdempotencyRecord>(database, tables.idempotency)
            .collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| (key.at, key.first));
        for key in keys {
            state.restore(Record::IdempotencyKey(key));
        }

        for departed in rows(database, tables.departed) {
            state.restore(Record::Departed(departed?));
        }
        for token in rows(database, tables.tokens) {
            state.restore(Record::Token(token?));
        }
        if let Some(raised) = database.get_cf(tables.records, StateRecord::MassLoss.key())? {
            state.restore(Record::MassLoss(codec::decode(&raised)?));
        }
        if let Some(settings) = database.get_cf(tables.records, StateRecord::Settings.key())? {
            state.restore(Record::Settings(codec::decode(&settings)?));
        }
        if let Some(issuer) = database.get_cf(tables.records, StateRecord::Issuer.key())? {
            state.restore(Record::Issuer(codec::decode(&issuer)?));
        }
        restore_range(database, StateRecord::Holders, &mut state, Record::Holder)?;
        restore_range(database, StateRecord::UserTokens, &mut state, Record::UserToken)?;
        restore_range(database, StateRecord::Orphans, &mut state, Record::Orphan)?;
        restore_range(database, StateRecord::Trail, &mut state, Record::Audit)?;
        restore_range(database, StateRecord::Jobs, &mut state, Record::Job)?;
        restore_range(database, StateRecord::Schedules, &mut state, Record::Schedule)?;
        restore_range(database, StateRecord::Queues, &mut state, Record::Queue)?;
        restore_range(database, StateRecord::Cascades, &mut state, Record::Cascade)?;

        Ok(Self { state, applied, membership })
    }
}

/// Refuses the state of a cluster whose level this binary does not know: it may look the same and
/// mean something else.
const fn check_level(found: Level) -> Result<(), StorageError> {
    let known = Level::NEWEST;
    if found.0 > known.0 {
        return Err(StorageError::NewerState { found, known });
    }
    Ok(())
}

/// Reads the values of a table in the order of their keys.
pub(crate) fn rows<'db, T: Versioned>(
    database: &'db DB,
    table: &ColumnFamily,
) -> impl Iterator<Item = Result<T, StorageError>> + use<'db, T> {
    let rows = database.iterator_cf(table, IteratorMode::Start);
    rows.map(|row| Ok(codec::decode(&row?.1)?))
}

/// Reads all live tasks: a thread reads and decodes them while this one puts them into the state.
fn restore_tasks(database: &DB, state: &mut State) -> Result<(), StorageError> {
    thread::scope(|scope| {
        let (sender, decoded) = mpsc::sync_channel(CHUNKS_AHEAD);
        let reader = scope.spawn(move || -> Result<(), StorageError> {
            let tables = Tables::of(database)?;
            let mut tasks = rows::<Arc<Task>>(database, tables.tasks);
            loop {
                let chunk = tasks.by_ref().take(CHUNK_TASKS).collect::<Result<Vec<_>, _>>()?;
                // The other thread takes all chunks, unless it panics.
                if chunk.is_empty() || sender.send(chunk).is_err() {
                    return Ok(());
                }
            }
        });
        state.restore_tasks(decoded.into_iter().flatten());
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Puts back the records that are a range of the table of single records.
fn restore_range<T: Versioned>(
    database: &DB,
    range: StateRecord,
    state: &mut State,
    record: impl Fn(T) -> Record,
) -> Result<(), StorageError> {
    let range = range.key();
    let from = IteratorMode::From(&range, Direction::Forward);
    for row in database.iterator_cf(Tables::of(database)?.records, from) {
        let (key, value) = row?;
        if !key.starts_with(&range) {
            break;
        }
        state.restore(record(codec::decode(&value)?));
    }
    Ok(())
}

/// Deletes leaders that the state no longer remembers.
fn prune_leaders(database: &DB, level: Level) -> Result<(), StorageError> {
    let tables = Tables::of(database)?;
    let leaders = rows::<LeaderRecord>(database, tables.leaders).collect::<Result<Vec<_>, _>>()?;
    let kept_max = Limits::at(level).leaders_kept_max;
    let kept_from = leaders.len().saturating_sub(kept_max);
    if let (Some(oldest), true) = (leaders.get(kept_from), kept_from > 0) {
        let mut batch = rocksdb::WriteBatch::default();
        batch.delete_range_cf(tables.leaders, Term(0).key(), oldest.term.key());
        database.write_without_wal(batch)?;
    }
    Ok(())
}

/// Returns the path of the file that names the current database.
fn pointer(root: &Path) -> PathBuf {
    root.join("CURRENT")
}

pub(crate) fn snapshots_dir(root: &Path) -> PathBuf {
    root.join("snapshots")
}

pub(crate) fn incoming_dir(root: &Path) -> PathBuf {
    root.join("incoming")
}

fn database_dir(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{DATABASE_PREFIX}{number}"))
}

/// Returns the number of the database in use, if there is one.
fn current(root: &Path) -> Result<Option<u64>, OpenError> {
    let path = pointer(root);
    let bytes = files::read_if_present(&path).map_err(OpenError::io(&path))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let number = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.trim_end().strip_prefix(DATABASE_PREFIX)?.parse().ok());
    number.map(Some).ok_or(OpenError::PointerUnreadable(path))
}

/// Returns the number and the directory of the first database, which is not there yet.
pub(crate) fn first(root: &Path) -> (u64, PathBuf) {
    (1, database_dir(root, 1))
}

/// Returns the directory of the database in use, and the file that says so.
pub(crate) fn used_files(root: &Path) -> Result<Option<[PathBuf; 2]>, OpenError> {
    Ok(current(root)?.map(|number| [database_dir(root, number), pointer(root)]))
}

/// Creates the directory of the next database. A number stays taken while its database is prepared.
pub(crate) fn next(root: &Path) -> Result<(u64, PathBuf), OpenError> {
    let mut number = current(root)?.unwrap_or(0);
    loop {
        number = number.saturating_add(1);
        let path = database_dir(root, number);
        match fs::create_dir(&path) {
            Ok(()) => return Ok((number, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(OpenError::io(path)(error)),
        }
    }
}

/// Puts a database into use: before this a restart ignores it, and after this it ignores the one
/// before.
pub(crate) fn switch(root: &Path, number: u64) -> Result<(), OpenError> {
    let path = pointer(root);
    files::write_atomically(&path, format!("{DATABASE_PREFIX}{number}\n").as_bytes())
        .map_err(OpenError::io(path))
}

/// Inspects the stored state and changes nothing.
pub(crate) fn inspect(root: &Path) -> Result<Position, OpenError> {
    let Some(number) = current(root)? else { return Ok(Position::default()) };
    let path = database_dir(root, number);
    if !path.is_dir() {
        return Err(OpenError::Missing { missing: path });
    }
    let database = rocks::open_state_read_only(&path)?;
    Position::load(&database).map_err(OpenError::storage(path))
}

/// Reads all that a start reads, and changes nothing.
pub(crate) fn inspect_all(root: &Path) -> Result<(), OpenError> {
    let Some([path, _]) = used_files(root)? else { return Ok(()) };
    let database = rocks::open_state_read_only(&path)?;
    Restored::load(&database).map(|_| ()).map_err(OpenError::storage(path))
}

/// Opens the database in use, or creates the first one, and removes the remains of earlier runs.
pub(crate) fn open(root: &Path) -> Result<(StateDb, Restored), OpenError> {
    fs::create_dir_all(root).map_err(OpenError::io(root))?;
    if let Some(parent) = root.parent() {
        files::sync_dir(parent).map_err(OpenError::io(parent))?;
    }
    let number = current(root)?;
    clean(root, number).map_err(OpenError::io(root))?;
    let path = database_dir(root, number.unwrap_or(1));
    let database = StateDb::open(path.clone())?;
    if number.is_none() {
        files::sync_dir(root).map_err(OpenError::io(root))?;
        switch(root, 1)?;
    }
    let load = || {
        let restored = Restored::load(database.database())?;
        prune_leaders(database.database(), restored.state.meta().level)?;
        Ok(restored)
    };
    let restored = load().map_err(OpenError::storage(path))?;
    Ok((database, restored))
}

/// Removes databases that are not in use, and snapshots. A received part of a snapshot stays: its
/// transfer may go on.
fn clean(root: &Path, current: Option<u64>) -> std::io::Result<()> {
    files::remove_dir(&snapshots_dir(root))?;
    let current = current.map(|number| database_dir(root, number));
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let is_database = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(DATABASE_PREFIX));
        if is_database && Some(&path) != current.as_ref() {
            files::remove_dir(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cluster_state::{Change, LogIndex};

    use super::*;

    #[test]
    fn the_state_of_a_cluster_with_a_newer_level_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateDb::open(dir.path().join("db")).unwrap();
        let stored = |level| {
            let meta = Change::Put(Record::Meta(Meta { level, ..Meta::default() }));
            let mut batch = Batch::new(store.database(), Level::NEWEST).unwrap();
            batch.put_changes(&[(LogIndex(1), meta)]).unwrap();
            batch.write().unwrap();
            Restored::load(store.database()).map(|restored| restored.state.meta().level)
        };
        assert_eq!(stored(Level::NEWEST).unwrap(), Level::NEWEST);
        assert_eq!(
            stored(Level(Level::NEWEST.0 + 1)).unwrap_err().to_string(),
            "the cluster has feature level 3, and this release knows levels up to 2: \
             start a release that knows level 3"
        );
    }
}
