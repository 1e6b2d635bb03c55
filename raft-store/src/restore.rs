//! Writes a data directory from a backup: the state of the backup, as the one from which the next
//! generation of its cluster begins.
//!
//! Each first member writes its own from the same file and the same list, and all of them come to
//! the same generation, membership and position. Whatever the earlier generation may have handed out
//! after the backup is passed over in wide gaps: see `cluster_state::Generation`.

mod directory;
mod members;
mod receive;
mod rewrite;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use cluster_state::{ClusterId, Generation, MasterId};
use proto::backup::{ReadError, Summary};

use self::receive::Received;
use crate::error::{OpenError, StorageError};
use crate::identity::Layout;
use crate::presence::{PresentMember, StillAlive};
use crate::snapshot::InvalidManifest;
use crate::state_db::{self, StateDb};

pub(crate) use self::directory::{begin_generation, make};
pub(crate) use self::rewrite::{Beginning, next_position};

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
    /// Masters that answer at the addresses of the members: if they belong to another generation,
    /// nothing is restored.
    pub present: Vec<PresentMember>,
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
    #[error("{} holds data already: name an empty directory, or one that is not there", .0.display())]
    InUse(PathBuf),
    /// The generation would not be a later one.
    #[error("the generation must be {least} or a later one, not {asked}")]
    Generation {
        asked: u32,
        /// The first one after that of the state.
        least: u32,
    },
    /// Masters of the cluster still run.
    #[error(transparent)]
    Alive(#[from] StillAlive),
    /// The numbers of that generation would leave no room for later ones.
    #[error("the generation must be {GENERATION_MAX} at most, not {0}")]
    GenerationTooGreat(u32),
    /// The backup cannot be read.
    #[error(transparent)]
    Backup(#[from] ReadError),
    /// Its list of files is not acceptable.
    #[error("the backup's list of files is not acceptable")]
    Manifest(#[from] InvalidManifest),
    /// Its cluster had not begun.
    #[error("there is nothing to go on from: the cluster had not begun")]
    Empty,
    /// The directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something cannot be stored, or is not what the backup says.
    #[error("cannot write the data directory")]
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
        make(&layout, || self.write(&layout, source, progress))
    }

    fn write(
        &self,
        layout: &Layout,
        source: impl Read,
        progress: impl FnMut(u64, u64),
    ) -> Result<RestoreReport, RestoreError> {
        let root = layout.state();
        fs::create_dir_all(&root)?;
        let (number, path) = state_db::next(&root)?;
        let Received { manifest, summary, digest } = receive::receive(source, &path, progress)?;

        let database = StateDb::open_temporary(path)?;
        rewrite::check(database.database(), &manifest)?;
        let begin = |meta: &_, applied, cluster| self.beginning(digest, meta, applied, cluster);
        let owner = (self.name, &*self.cluster_name);
        let beginning = begin_generation(layout, (number, database), owner, begin)?;
        let Beginning { cluster, generation, .. } = beginning;
        Ok(RestoreReport { cluster, generation, summary })
    }
}

/// Greatest number of a generation: attempts go on by a million with each, and their numbers have 32
/// bits.
const GENERATION_MAX: u32 = 4_000;

/// Returns the generation that begins: the first one possible, or the one asked for.
pub(crate) fn chosen(least: Generation, asked: Option<u32>) -> Result<Generation, RestoreError> {
    let number = asked.unwrap_or(least.number);
    if number < least.number {
        return Err(RestoreError::Generation { asked: number, least: least.number });
    }
    if number > GENERATION_MAX {
        return Err(RestoreError::GenerationTooGreat(number));
    }
    Ok(Generation { number, ..least })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_a_later_one_that_leaves_room() {
        let least = Generation { number: 3, ..Generation::default() };
        assert_eq!(chosen(least, None).unwrap(), least);
        assert_eq!(chosen(least, Some(GENERATION_MAX)).unwrap().number, GENERATION_MAX);
        let refusal = |asked| chosen(least, Some(asked)).unwrap_err().to_string();
        assert_eq!(refusal(2), "the generation must be 3 or a later one, not 2");
        assert_eq!(refusal(20_261_129), "the generation must be 4000 at most, not 20261129");
    }
}
