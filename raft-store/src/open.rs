//! Opens a node's data directory: every check first, the first change to the disk after them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cluster_state::MasterId;
use rocksdb::WriteBatch;

use crate::calls::Calls;
use crate::disk_space::{DiskSpace, Reserve};
use crate::error::{OpenError, StorageError};
use crate::fatal::Fatal;
use crate::guard::{Guard, Witness};
use crate::identity::{Condition, Identity, KnownIdentity, Layout, Owner};
use crate::keys::LogTable;
use crate::log_store::{Held, Links, LogOptions, LogStore, StateDurability, put_identity};
use crate::rocks;
use crate::seen::SeenFile;
use crate::state_db::{self, Position};
use crate::state_machine::{ApplyObserver, Shared, SnapshotInbox, StateMachine, StateReader};
use crate::torn::TornTail;

/// Directory to open, and its owner.
#[derive(Clone)]
pub struct StoreConfig {
    /// The directory; created if it does not exist.
    pub data_dir: PathBuf,
    /// Master that opens it.
    pub owner: Owner,
    /// Configured name of the cluster, which is noted for people; empty if unknown.
    pub cluster_name: String,
    pub log: LogOptions,
    /// Space reserved for starting on a full disk; 0 for none.
    pub reserve_bytes: u64,
    /// Observer of the time that applying takes.
    pub apply_observer: Option<ApplyObserver>,
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("data_dir", &self.data_dir)
            .field("owner", &self.owner)
            .field("cluster_name", &self.cluster_name)
            .field("log", &self.log)
            .field("reserve_bytes", &self.reserve_bytes)
            .finish_non_exhaustive()
    }
}

impl StoreConfig {
    /// Returns the usual settings, without a reserve.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, name: MasterId) -> Self {
        let (data_dir, log) = (data_dir.into(), LogOptions::default());
        let owner = Owner { name, cluster: None };
        let cluster_name = String::new();
        Self { data_dir, owner, cluster_name, log, reserve_bytes: 0, apply_observer: None }
    }
}

/// A node's open storage. Its parts keep the directory locked until the last of them is dropped.
#[derive(Debug)]
pub struct Store {
    /// The log, for openraft.
    pub log: LogStore,
    /// The state, for openraft.
    pub machine: StateMachine,
    /// The state, for everybody else.
    pub reader: StateReader,
    /// Receives snapshots.
    pub inbox: SnapshotInbox,
    /// Raised when storage fails: the process must then abort.
    pub fatal: Fatal,
    pub(crate) space: DiskSpace,
    pub(crate) seen: SeenFile,
}

impl Store {
    /// Opens the directory. Blocks: for some seconds with a million live tasks.
    ///
    /// # Errors
    ///
    /// If the directory is another's, in use, damaged, from a newer release, or has lost data.
    /// Nothing on disk is changed then.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        let layout = Layout::new(config.data_dir.clone());
        let reserve = Reserve::new(layout.reserve(), config.reserve_bytes);
        let store = match Self::open_once(config.clone(), &layout) {
            Err(error) if reserve.release_for(&error) => Self::open_once(config, &layout)?,
            opened => opened?,
        };
        reserve.keep();
        Ok(store)
    }

    fn open_once(config: StoreConfig, layout: &Layout) -> Result<Self, OpenError> {
        let owner = config.owner;
        // Before the lock, which creates a file in the directory, and again after it.
        layout.inspect()?;
        let lock = Arc::new(layout.lock()?);
        match layout.inspect()? {
            Condition::Fresh => make(layout, Identity::draw(owner))?,
            Condition::InUse => check(layout, owner)?,
        }

        let log_path = layout.log();
        let database = rocks::open_log(&log_path)?;
        let held = load(&database, layout)?;
        let mut guard = Guard::open(&layout.guard())?;
        guard.witness().check(&held.witness())?;
        if *guard.witness() != held.witness() {
            guard.write(held.witness()).map_err(OpenError::storage(layout.guard()))?;
        }

        let fatal = Fatal::default();
        let calls = Calls::new(fatal.clone());
        let state = layout.state();
        let (state_db, restored) = state_db::open(&state)?;
        let state_db = Arc::new(state_db);
        let position = (restored.applied, restored.membership.clone());
        let shared = Arc::new(Shared::new(
            state.clone(),
            Arc::clone(&state_db),
            restored,
            calls.clone(),
            Arc::clone(&lock),
        ));
        let machine =
            StateMachine::new(Arc::clone(&shared), state_db, position, config.apply_observer);

        let seen = SeenFile::open(layout.seen(), calls.clone(), Arc::clone(&lock));
        let identity = KnownIdentity::new(held.identity);
        let links = Links {
            state: Arc::clone(&shared) as Arc<dyn StateDurability>,
            identity: identity.clone(),
            calls,
            lock,
        };
        let log = LogStore::start(database, held, guard, links, config.log)
            .map_err(OpenError::storage(log_path))?;
        let inbox = SnapshotInbox::new(Arc::clone(&shared), identity);
        if let Err(error) = layout.note_cluster_name(&config.cluster_name) {
            // It is for people who recover the cluster, and no reason to stay away from it.
            tracing::warn!(
                error = crate::calls::describe(&error),
                "cannot note the cluster's name"
            );
        }
        let space = DiskSpace::of(layout.root());
        Ok(Self { log, machine, reader: StateReader::new(shared), inbox, fatal, space, seen })
    }
}

/// Creates a new directory. The guard comes last: with it the directory counts as used.
fn make(layout: &Layout, identity: Identity) -> Result<(), OpenError> {
    let path = layout.log();
    if path.is_dir() {
        refuse_used_log(layout)?;
    }
    layout.begin()?;
    let database = rocks::open_log(&path)?;
    let write = || -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        put_identity(&mut batch, rocks::table(&database, LogTable::Records.name())?, &identity)?;
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        Ok(database.write_opt(batch, &options)?)
    };
    write().map_err(OpenError::storage(path))?;
    Guard::create(&layout.guard(), Held::empty(identity).witness())
}

/// Refuses a log that has content but no guard: somebody has removed the guard. An empty one is
/// left by an interrupted creation.
pub(crate) fn refuse_used_log(layout: &Layout) -> Result<(), OpenError> {
    let path = layout.log();
    // RocksDB writes this file at the end of the creation of a database.
    if !path.join("CURRENT").exists() {
        return Ok(());
    }

    let database = match rocks::open_log_read_only(&path) {
        Ok(database) => database,
        // Created, but without the tables of this package.
        Err(OpenError::Database { source, .. })
            if source.kind() == rocksdb::ErrorKind::InvalidArgument =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };

    let held = Held::load(&database).map_err(OpenError::storage(path))?;
    if held.is_some_and(|held| held.vote.is_some() || held.last.is_some()) {
        return Err(OpenError::Missing { missing: layout.guard() });
    }
    Ok(())
}

/// Inspects everything that is stored and refuses what must not be used, without changing anything
/// but a torn end of the log.
fn check(layout: &Layout, owner: Owner) -> Result<(), OpenError> {
    let witness = Guard::read(&layout.guard())?;
    owner.check(witness.identity.owner())?;
    let database = open_mended(layout, &witness)?;
    check_content(layout, owner, &witness, &database).map(|_| ())
}

/// Refuses a log and a state that must not be used, and changes nothing.
pub(crate) fn check_content(
    layout: &Layout,
    owner: Owner,
    witness: &Witness,
    log: &rocksdb::DB,
) -> Result<(Held, Position), OpenError> {
    let held = load(log, layout)?;
    owner.check(held.identity.owner())?;
    witness.check(&held.witness())?;

    let position = state_db::inspect(&layout.state())?;
    held.identity.owner().check(Owner { cluster: position.cluster, ..held.identity.owner() })?;
    let applied = position.applied.map(|applied| applied.index);
    let purged = held.purged.map(|purged| purged.index);
    if applied < purged {
        let (applied, purged) = (applied.unwrap_or(0), purged.unwrap_or(0));
        return Err(OpenError::StateBehindLog { applied, purged });
    }
    Ok((held, position))
}

/// Opens the log without changing anything, unless a crash has torn its last record and nothing
/// else is wrong: that record is cut off.
fn open_mended(layout: &Layout, witness: &Witness) -> Result<rocksdb::DB, OpenError> {
    let path = layout.log();
    let damage = match rocks::open_log_read_only(&path) {
        Err(damage @ OpenError::Damaged { .. }) => damage,
        opened => return opened,
    };
    let Some(torn) = TornTail::find(&path).map_err(OpenError::io(&path))? else {
        return Err(damage);
    };
    if !torn.is_unguarded(&layout.probe(), witness)? {
        return Err(damage);
    }
    torn.cut().map_err(OpenError::io(&path))?;
    rocks::open_log_read_only(&path)
}

/// Loads the content of the log. A log that does not name its owner has lost its first record.
fn load(database: &rocksdb::DB, layout: &Layout) -> Result<Held, OpenError> {
    let held = Held::load(database).map_err(OpenError::storage(layout.log()))?;
    held.ok_or_else(|| OpenError::LogBehindGuard {
        what: "the identity",
        guarded: "there".to_owned(),
        found: "none".to_owned(),
    })
}
