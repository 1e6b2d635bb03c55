//! Looks into the data directory of a master that does not run, and changes nothing in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cluster_state::{ClusterId, Generation, Level};
use uuid::Uuid;

use crate::error::OpenError;
use crate::files::Directory;
use crate::guard::{Guard, Witness};
use crate::identity::{Condition, Identity, Layout};
use crate::log_node::{MasterNode, NodeId};
use crate::log_store::Held;
use crate::membership::Member;
use crate::open::{check_content, refuse_used_log};
use crate::rocks;
use crate::state_db;
use crate::torn::TornTail;
use crate::types::{LogId, StoredMembership, Vote};

/// Findings about one data directory.
#[derive(Debug)]
pub struct Inspection {
    pub directory: PathBuf,
    /// Configured name of the cluster; unknown in a directory of release 0.2.0.
    pub cluster_name: Option<String>,
    /// Identity of the log, as the guard file has it.
    pub identity: Option<Identity>,
    pub content: Result<Content, Unusable>,
}

/// Reason that a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is nothing in it.
    #[error("the directory holds no data")]
    Empty,
    /// A master uses it.
    #[error("in use: a master runs there, or another program reads it")]
    InUse,
    /// A master would not start there.
    #[error(transparent)]
    Refused(OpenError),
}

impl From<OpenError> for Unusable {
    fn from(error: OpenError) -> Self {
        if let OpenError::Locked(_) = error { Self::InUse } else { Self::Refused(error) }
    }
}

/// Content of a directory in which a master can start.
#[derive(Debug, Clone)]
pub struct Content {
    pub identity: Identity,
    /// Cluster; unknown when none had begun.
    pub cluster: Option<ClusterId>,
    pub generation: Generation,
    /// Feature level of the cluster.
    pub level: Level,
    pub vote: Option<Vote>,
    /// Last entry that is purged: a snapshot has taken its place.
    pub purged: Option<LogId>,
    /// Last entry of the log.
    pub last: Option<LogId>,
    /// Last entry that this master knows to be committed.
    pub committed: Option<LogId>,
    /// Last entry whose effect is in the state on disk.
    pub applied: Option<LogId>,
    /// Newest membership that is known to be committed.
    pub committed_members: RecordedMembers,
    /// Newest membership in the log, by which a leader goes.
    pub last_members: RecordedMembers,
    /// True if the last write was torn by a crash: a start cuts it off.
    pub is_torn: bool,
}

/// A membership, as it is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedMembers {
    /// Entry that brought it.
    pub index: Option<u64>,
    pub members: Vec<Member>,
    /// Sets of voters of which each must have a majority: two while they change.
    voters: Vec<BTreeSet<NodeId>>,
}

impl RecordedMembers {
    fn of(stored: &StoredMembership) -> Self {
        let voters = stored.membership().get_joint_config().clone();
        let is_voter = |node: &NodeId| voters.iter().any(|set| set.contains(node));
        let member = |(node, record): (&NodeId, &MasterNode)| Member {
            node: *node,
            name: record.name_or(*node),
            address: record.addr.clone(),
            zone: record.zone.clone(),
            is_voter: is_voter(node),
        };
        let members = stored.nodes().map(member).collect();
        let index = (*stored.log_id()).map(|id| id.index);
        Self { index, members, voters }
    }

    /// Returns true if these logs are a majority.
    #[must_use]
    pub fn have_majority(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let is_majority =
            |set: &BTreeSet<NodeId>| set.intersection(nodes).count() > set.len().div_euclid(2);
        !self.voters.is_empty() && self.voters.iter().all(is_majority)
    }
}

/// Looks into a data directory, with the checks of a start.
#[must_use]
pub fn inspect(directory: &Path) -> Inspection {
    let layout = Layout::new(directory.to_owned());
    let mut inspection = Inspection {
        directory: directory.to_owned(),
        cluster_name: layout.cluster_name().ok().flatten(),
        identity: None,
        content: Err(Unusable::Empty),
    };
    inspection.content = read(&layout, &mut inspection.identity);
    inspection
}

fn read(layout: &Layout, identity: &mut Option<Identity>) -> Result<Content, Unusable> {
    let condition = layout.inspect()?;
    let _lock = layout.lock_for_reading()?;
    if condition == Condition::Fresh {
        if layout.log().is_dir() {
            refuse_used_log(layout)?;
        }
        return Err(Unusable::Empty);
    }

    let witness = Guard::read(&layout.guard())?;
    *identity = Some(witness.identity);
    let opened = OpenedLog::open(layout, &witness)?;
    let owner = witness.identity.owner();
    let (held, position) = check_content(layout, owner, &witness, &opened.database)?;
    let unreadable = OpenError::storage(layout.log());
    let memberships = held.read_all(&opened.database).map_err(unreadable)?;
    state_db::inspect_all(&layout.state())?;

    let committed = held.committed.max(position.applied);
    let is_committed = |stored: &&StoredMembership| (*stored.log_id()) <= committed;
    let newest_committed = memberships.iter().rfind(is_committed).unwrap_or(&position.membership);
    let meta = position.meta.unwrap_or_default();
    Ok(Content {
        identity: held.identity,
        cluster: held.identity.cluster.or(position.cluster),
        generation: meta.generation,
        level: meta.level,
        vote: held.vote,
        purged: held.purged,
        last: held.last.max(position.applied),
        committed,
        applied: position.applied,
        committed_members: RecordedMembers::of(newest_committed),
        last_members: RecordedMembers::of(memberships.last().unwrap_or(&position.membership)),
        is_torn: opened.copy.is_some(),
    })
}

/// The log, or a copy of it without a record that a crash has torn.
struct OpenedLog {
    // Closed before its directory is removed.
    database: rocksdb::DB,
    copy: Option<Directory>,
}

impl OpenedLog {
    fn open(layout: &Layout, witness: &Witness) -> Result<Self, OpenError> {
        let path = layout.log();
        let damage = match rocks::open_log_read_only(&path) {
            Err(damage @ OpenError::Damaged { .. }) => damage,
            opened => return Ok(Self { database: opened?, copy: None }),
        };
        let Some(torn) = TornTail::find(&path).map_err(OpenError::io(&path))? else {
            return Err(damage);
        };

        let name = format!("log-{}", Uuid::new_v4());
        let copy = Directory::temporary(std::env::temp_dir().join(name));
        torn.copy_without(copy.path()).map_err(OpenError::io(copy.path()))?;
        let Ok(database) = rocks::open_log_read_only(copy.path()) else { return Err(damage) };
        let held = Held::load(&database).map_err(OpenError::storage(copy.path()))?;
        let is_whole = held.is_some_and(|held| witness.check(&held.witness()).is_ok());
        if is_whole { Ok(Self { database, copy: Some(copy) }) } else { Err(damage) }
    }
}
