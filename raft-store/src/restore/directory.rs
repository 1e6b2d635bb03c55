//! Makes a data directory as a whole: until it is complete no master starts there.

use std::fs;
use std::io;

use cluster_state::{ClusterId, MasterId, Meta};
use openraft::vote::leader_id_std::LeaderId;
use rocksdb::WriteBatch;

use super::RestoreError;
use super::rewrite::{Beginning, rewrite};
use crate::codec;
use crate::error::{OpenError, StorageError};
use crate::files;
use crate::guard::Guard;
use crate::identity::{Condition, Identity, Layout};
use crate::keys::{LogRecord, LogTable};
use crate::log_store::{Held, put_identity};
use crate::rocks;
use crate::state_db::{self, StateDb};
use crate::types::{LogId, Vote, next_index};

/// Writes into an empty directory, or over the remains of an earlier try. After an error it is empty.
pub(crate) fn make<T>(
    layout: &Layout,
    write: impl FnOnce() -> Result<T, RestoreError>,
) -> Result<T, RestoreError> {
    check_is_free(layout)?;
    let _lock = layout.lock()?;
    check_is_free(layout)?;

    layout.begin_restoration()?;
    clear(layout)?;
    let written = write();
    if written.is_err() {
        clear(layout)?;
    }
    layout.end_restoration()?;
    written
}

/// Makes the state that of the next generation, puts it into use, and writes the log that goes on
/// from it.
pub(crate) fn begin_generation(
    layout: &Layout,
    (number, database): (u64, StateDb),
    owner: (MasterId, &str),
    begin: impl FnOnce(&Meta, LogId, ClusterId) -> Result<Beginning, RestoreError>,
) -> Result<Beginning, RestoreError> {
    let beginning = rewrite(database.database(), begin)?;
    rocks::flush_state(database.database())?;
    database.keep();
    drop(database);
    let root = layout.state();
    files::sync_dir(&root)?;
    state_db::switch(&root, number)?;

    write_log(layout, &beginning, owner)?;
    Ok(beginning)
}

/// Writes a log that is purged up to the position of the state, for the named master of the named
/// cluster. The guard comes last: without it no master starts here.
fn write_log(
    layout: &Layout,
    beginning: &Beginning,
    (name, cluster_name): (MasterId, &str),
) -> Result<(), RestoreError> {
    let members = beginning.membership.nodes();
    let own = members.filter(|(_, member)| member.name == Some(name));
    let node = own.map(|(node, _)| *node).next().ok_or(RestoreError::NotAMember(name))?;
    let identity = Identity { node, name, cluster: Some(beginning.cluster) };
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
    layout.note_cluster_name(cluster_name)?;
    Ok(Guard::create(&layout.guard(), held.witness())?)
}

/// Refuses a directory that holds something else than the remains of an earlier try.
fn check_is_free(layout: &Layout) -> Result<(), RestoreError> {
    match layout.inspect() {
        Ok(Condition::Fresh) | Err(OpenError::HalfRestored(_)) => Ok(()),
        Ok(Condition::InUse) => Err(RestoreError::InUse(layout.root().to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// Removes everything but what says that the directory is being written.
fn clear(layout: &Layout) -> Result<(), RestoreError> {
    files::remove_dir(&layout.copy())?;
    files::remove_dir(&layout.state())?;
    files::remove_dir(&layout.log())?;
    match fs::remove_file(layout.guard()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(files::sync_dir(layout.root())?),
    }
}
