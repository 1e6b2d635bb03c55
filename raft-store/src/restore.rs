//! Writes a data directory from a backup: the state of the backup, as the one from which the next
//! generation of its cluster begins.
//!
//! Each first member writes its own from the same file and the same list, and all of them come to
//! the same generation, membership and position. Whatever the earlier generation may have handed out
//! after the backup is passed over in wide gaps: see `cluster_state::Generation`.

mod members;
mod receive;
mod rewrite;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use cluster_state::{ClusterId, Generation, MasterId};
use openraft::vote::leader_id_std::LeaderId;
use proto::backup::{ReadError, Summary};
use rocksdb::WriteBatch;

use self::receive::Received;
use self::rewrite::Beginning;
use crate::codec;
use crate::error::{OpenError, StorageError};
use crate::files;
use crate::guard::Guard;
use crate::identity::{Condition, Identity, Layout};
use crate::keys::{LogRecord, LogTable};
use crate::log_store::{Held, put_identity};
use crate::rocks;
use crate::snapshot::InvalidManifest;
use crate::state_db::{self, StateDb};
use crate::types::{Vote, next_index};

/// Data directory to write, and the cluster that it is to belong to.
#[derive(Debug, Clone)]
pub struct Restoration {
    /// The directory; empty, or not there yet.
    pub data_dir: PathBuf,
    /// Configured name of its master.
    pub name: MasterId,
    /// Configured name of the cluster.
    pub cluster_name: String,
    /// First members, the same in each call: together they are the cluster.
    pub members: BTreeMap<MasterId, String>,
    /// Number of the generation that begins; the one after that of the backup unless it is given. A
    /// greater one must be given when a generation of that number has run before, because the
    /// backup was restored before.
    pub generation: Option<u32>,
}

/// Outcome of a restoration.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    pub cluster: ClusterId,
    pub generation: Generation,
    /// Summary of the backup.
    pub summary: Summary,
}

/// Reason that nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The master is none of the members.
    #[error("the list of first members does not name master {0}")]
    NotAMember(MasterId),
    /// The directory has been in use.
    #[error("{} holds data already: a backup is restored into an empty directory", .0.display())]
    InUse(PathBuf),
    /// The generation would not be a later one.
    #[error("the generation must be {least} or a later one, not {asked}")]
    Generation {
        asked: u32,
        /// The first one after that of the backup.
        least: u32,
    },
    /// The backup cannot be read.
    #[error(transparent)]
    Backup(#[from] ReadError),
    /// Its list of files is not acceptable.
    #[error("the backup's list of files is not acceptable")]
    Manifest(#[from] InvalidManifest),
    /// Its cluster had not begun.
    #[error("the backup holds nothing: its cluster had not begun")]
    Empty,
    /// The directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something cannot be stored, or is not what the backup says.
    #[error("cannot restore the state")]
    Storage(#[from] StorageError),
}

impl From<io::Error> for RestoreError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl Restoration {
    /// Writes the directory. `progress` is told how many bytes of how many have been read.
    ///
    /// # Errors
    ///
    /// As [`RestoreError`] says. The directory is empty then.
    pub fn run(
        &self,
        source: impl Read,
        progress: impl FnMut(u64, u64),
    ) -> Result<RestoreReport, RestoreError> {
        if !self.members.contains_key(&self.name) {
            return Err(RestoreError::NotAMember(self.name));
        }
        let layout = Layout::new(self.data_dir.clone());
        check_is_free(&layout)?;
        let _lock = layout.lock()?;
        check_is_free(&layout)?;

        layout.begin_restoration()?;
        let written = self.write(&layout, source, progress);
        if written.is_err() {
            clear(&layout)?;
        }
        layout.end_restoration()?;
        written
    }

    fn write(
        &self,
        layout: &Layout,
        source: impl Read,
        progress: impl FnMut(u64, u64),
    ) -> Result<RestoreReport, RestoreError> {
        clear(layout)?;
        let root = layout.state();
        fs::create_dir_all(&root)?;
        let (number, path) = state_db::next(&root)?;
        let Received { manifest, summary, digest } = receive::receive(source, &path, progress)?;

        let database = StateDb::open_temporary(path)?;
        let begin = |meta: &_, applied, cluster| self.beginning(digest, meta, applied, cluster);
        let beginning = rewrite::rewrite(database.database(), &manifest, begin)?;
        rocks::flush_state(database.database())?;
        database.keep();
        drop(database);
        files::sync_dir(&root)?;
        state_db::switch(&root, number)?;

        self.write_log(layout, &beginning)?;
        let Beginning { cluster, generation, .. } = beginning;
        Ok(RestoreReport { cluster, generation, summary })
    }

    /// Writes a log that is purged up to the position of the state. The guard comes last: without
    /// it no master starts here.
    fn write_log(&self, layout: &Layout, beginning: &Beginning) -> Result<(), RestoreError> {
        let members = beginning.membership.nodes();
        let own = members.filter(|(_, member)| member.name == Some(self.name));
        let node = own.map(|(node, _)| *node).next().ok_or(RestoreError::NotAMember(self.name))?;
        let identity = Identity { node, name: self.name, cluster: Some(beginning.cluster) };
        // A term that nobody leads: the first election is for the one after it.
        let leader_id = LeaderId { term: beginning.last.leader_id.term, voted_for: node };
        let (vote, last) = (Vote { leader_id, committed: false }, Some(beginning.last));
        let held = Held {
            vote: Some(vote),
            committed: last,
            purged: last,
            last,
            begin: next_index(last),
            ..Held::empty(identity)
        };

        let database = rocks::open_log(&layout.log())?;
        let records = rocks::table(&database, LogTable::Records.name())?;
        let mut batch = WriteBatch::default();
        put_identity(&mut batch, records, &held.identity)?;
        let mut put = |record: LogRecord, json: Result<Vec<u8>, codec::CodecError>| {
            json.map(|json| batch.put_cf(records, record.key(), json)).map_err(StorageError::from)
        };
        put(LogRecord::Vote, codec::encode_json(&vote))?;
        put(LogRecord::Committed, codec::encode_json(&beginning.last))?;
        put(LogRecord::Purged, codec::encode_json(&beginning.last))?;
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        database.write_opt(batch, &options).map_err(StorageError::from)?;
        drop(database);
        Ok(Guard::create(&layout.guard(), held.witness())?)
    }
}

/// Refuses a directory that holds something else than the remains of an interrupted restoration.
fn check_is_free(layout: &Layout) -> Result<(), RestoreError> {
    match layout.inspect() {
        Ok(Condition::Fresh) | Err(OpenError::HalfRestored(_)) => Ok(()),
        Ok(Condition::InUse) => Err(RestoreError::InUse(layout.root().to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// Removes everything but what says that a restoration is under way.
fn clear(layout: &Layout) -> Result<(), RestoreError> {
    files::remove_dir(&layout.state())?;
    files::remove_dir(&layout.log())?;
    match fs::remove_file(layout.guard()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(files::sync_dir(layout.root())?),
    }
}
