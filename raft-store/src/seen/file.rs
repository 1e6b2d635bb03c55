//! Keeps what was seen of other logs on the disk.
//!
//! What it says is a lower bound, so a file that is missing, old or damaged does no harm: less is noticed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Seen;
use crate::calls::{Call, Calls, describe};
use crate::codec::{self, CodecError};
use crate::error::StorageError;
use crate::files;
use crate::identity::DirectoryLock;
use crate::log_node::NodeId;
use crate::types::LogId;

/// Bytes of the checksum before the record: a bit that has turned must not make a log look older than
/// it is.
const CHECKSUM_BYTES: usize = 4;

/// The file in the data directory.
#[derive(Debug, Clone)]
pub(crate) struct SeenFile {
    path: PathBuf,
    calls: Calls,
    /// Content of the file.
    kept: Arc<Mutex<BTreeMap<NodeId, LogId>>>,
    _lock: Arc<DirectoryLock>,
}

/// Content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    logs: Vec<(NodeId, LogId)>,
}

impl SeenFile {
    /// Reads the file.
    pub(crate) fn open(path: PathBuf, calls: Calls, lock: Arc<DirectoryLock>) -> Self {
        let read = files::read_if_present(&path).map_err(StorageError::from);
        let read = read.and_then(|bytes| bytes.map(|bytes| decode(&bytes)).transpose());
        let kept = read.unwrap_or_else(|error| {
            let error = describe(&error);
            tracing::warn!(path = %path.display(), error, "cannot read what was seen of other masters");
            None
        });
        let kept = Arc::new(Mutex::new(kept.unwrap_or_default()));
        Self { path, calls, kept, _lock: lock }
    }

    /// Tells the memory what is in the file.
    pub(crate) fn recall(&self, seen: &Seen) {
        for (node, committed) in self.kept.lock().iter() {
            seen.learn(*node, *committed);
        }
    }

    /// Writes these positions, durably, if they are others than those in the file.
    ///
    /// # Errors
    ///
    /// If they cannot be written. The file is what it was.
    pub(crate) async fn keep(&self, logs: BTreeMap<NodeId, LogId>) -> Result<(), StorageError> {
        if *self.kept.lock() == logs {
            return Ok(());
        }
        let (path, record) = (self.path.clone(), logs.clone());
        let write = move || {
            let bytes = encode(record)?;
            files::write_atomically(&path, &bytes).map_err(StorageError::from)
        };
        self.calls.run_blocking(Call::SeenWrite, write).await?;
        *self.kept.lock() = logs;
        Ok(())
    }
}

fn encode(logs: BTreeMap<NodeId, LogId>) -> Result<Vec<u8>, StorageError> {
    let record = codec::encode_json(&Record { logs: logs.into_iter().collect() })?;
    let mut bytes = crc32fast::hash(&record).to_be_bytes().to_vec();
    bytes.extend_from_slice(&record);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<NodeId, LogId>, StorageError> {
    let (checksum, record) =
        bytes.split_first_chunk::<CHECKSUM_BYTES>().ok_or(CodecError::Short)?;
    if crc32fast::hash(record) != u32::from_be_bytes(*checksum) {
        return Err(std::io::Error::other("the checksum does not fit").into());
    }
    Ok(codec::decode_json::<Record>(record)?.logs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, Term};

    use super::*;
    use crate::types::log_id;

    fn logs() -> BTreeMap<NodeId, LogId> {
        let at = |term, index| log_id(Term(term), LogIndex(index));
        BTreeMap::from([(NodeId(2), at(3, 90)), (NodeId((1 << 63) - 1), at(4, 1 << 60))])
    }

    #[test]
    fn what_is_kept_is_read_back() {
        assert_eq!(decode(&encode(logs()).unwrap()).unwrap(), logs());
    }

    #[test]
    fn a_file_with_a_bit_that_has_turned_says_nothing() {
        let whole = encode(logs()).unwrap();
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            decode(&damaged).unwrap_err();
            decode(&whole[..position]).unwrap_err();
        }
    }
}
