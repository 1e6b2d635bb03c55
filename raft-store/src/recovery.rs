//! Goes on with what one directory of a cluster that has lost its quorum holds: as a cluster of one,
//! in the next generation.
//!
//! Every entry of its log is kept, whether a majority had it or not: nobody can tell any more. The
//! source is only read.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cluster_state::{ClusterId, Generation, MasterId, Meta};
use uuid::Uuid;

pub use self::plan::{PlanError, RecoveryPlan, VoterFound};
use crate::error::{OpenError, StorageError};
use crate::files;
use crate::guard::Guard;
use crate::identity::Layout;
use crate::log_node::{MasterNode, NodeId};
use crate::open::{Store, StoreConfig};
use crate::restore::{self, Beginning, RestoreError};
use crate::state_db::{self, StateDb};
use crate::types::{LogId, Membership, StoredMembership};

/// Directory to go on with, and the cluster of one that comes of it.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Directory to go on with.
    pub source: PathBuf,
    /// Directory to write; empty, or not there yet.
    pub data_dir: PathBuf,
    /// Configured name of the only master.
    pub name: MasterId,
    /// `host:port` of its gRPC server.
    pub address: String,
    /// Configured name of the cluster.
    pub cluster_name: String,
    /// Number of the generation that begins; the next one unless it is given.
    pub generation: Option<u32>,
}

/// Outcome of a recovery.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryReport {
    pub cluster: ClusterId,
    pub generation: Generation,
    /// Log of the only member.
    pub node: NodeId,
    /// Last entry of the source.
    pub last: LogId,
}

impl Recovery {
    /// Writes the directory. It can be interrupted at any time, and done again.
    ///
    /// # Errors
    ///
    /// As [`RestoreError`] says. The directory is empty then.
    pub fn run(&self) -> Result<RecoveryReport, RestoreError> {
        let source = Layout::new(self.source.clone());
        source.inspect()?;
        let _unused = source.lock_for_reading()?;
        let layout = Layout::new(self.data_dir.clone());
        restore::make(&layout, || self.write(&source, &layout))
    }

    fn write(&self, source: &Layout, layout: &Layout) -> Result<RecoveryReport, RestoreError> {
        let copy = Layout::new(layout.copy());
        copy_used(source, &copy)?;
        let root = layout.state();
        fs::create_dir(&root)?;
        let (number, path) = state_db::first(&root);
        apply_log(&copy, &path)?;

        let database = StateDb::open_temporary(path)?;
        let (node, mut last) = (NodeId::draw(), None);
        let begin = |meta: &Meta, applied, cluster| {
            last = Some(applied);
            self.beginning(node, meta, applied, cluster)
        };
        let owner = (self.name, &*self.cluster_name);
        let beginning = restore::begin_generation(layout, (number, database), owner, begin)?;
        files::remove_dir(&layout.copy())?;
        let Beginning { cluster, generation, .. } = beginning;
        let last = last.ok_or(RestoreError::Empty)?;
        Ok(RecoveryReport { cluster, generation, node, last })
    }

    fn beginning(
        &self,
        node: NodeId,
        meta: &Meta,
        applied: LogId,
        cluster: ClusterId,
    ) -> Result<Beginning, RestoreError> {
        let least = meta.generation.following(meta.next_task, Uuid::new_v4().as_u64_pair().0);
        let generation = restore::chosen(least, self.generation)?;
        let last = restore::next_position(applied, meta, generation);
        let member = MasterNode::at(self.name, self.address.clone());
        let (voters, nodes) = (BTreeSet::from([node]), BTreeMap::from([(node, member)]));
        let membership = Membership::new(vec![voters], nodes)
            .map_err(|error| StorageError::from(std::io::Error::other(error)))?;
        let membership = StoredMembership::new(Some(last), membership);
        Ok(Beginning { cluster, generation, last, membership })
    }
}

/// Copies what a master starts with.
fn copy_used(source: &Layout, copy: &Layout) -> Result<(), RestoreError> {
    let missing = |missing| OpenError::Missing { missing };
    if !source.log().is_dir() {
        return Err(missing(source.log()).into());
    }
    fs::create_dir(copy.root())?;
    copy.begin()?;
    files::copy_database(&source.log(), &copy.log())?;
    if let Some([database, pointer]) = state_db::used_files(&source.state())? {
        fs::create_dir(copy.state())?;
        let named = |path: &Path| copy.state().join(path.file_name().unwrap_or_default());
        if !database.is_dir() {
            return Err(missing(database).into());
        }
        files::copy_database(&database, &named(&database))?;
        fs::copy(&pointer, named(&pointer))?;
    }
    fs::copy(source.guard(), copy.guard())?;
    Ok(())
}

/// Opens the copy as a start does, and writes the state after the last entry of its log to `path`.
fn apply_log(copy: &Layout, path: &Path) -> Result<(), RestoreError> {
    let name = Guard::read(&copy.guard())?.identity.name;
    let Store { mut log, mut machine, .. } =
        Store::open(StoreConfig::new(copy.root().to_owned(), name))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(machine.apply_whole_log(&mut log))?;
    Ok(machine.link_into(path)?)
}
