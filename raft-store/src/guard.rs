//! The guard file: a small second witness of the log's durable content.
//!
//! RocksDB opens without complaint when its write-ahead log was removed, or cut between two
//! records. For a Raft log that is a lost vote or a lost acknowledged write. The guard remembers
//! what was synced, and a log that holds less does not start.
//!
//! **Invariant:** the guard is never ahead of what is synced. It is written after the log's sync,
//! and lowered before a truncation is written.

mod witness;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cluster_state::Level;
use serde::{Deserialize, Serialize};

pub(crate) use self::witness::Witness;
use self::witness::WitnessAtFirst;
use crate::codec::{self, CodecError, Versioned};
use crate::error::{GuardError, OpenError, StorageError};
use crate::files;

/// Size of one slot. A page, so that a torn write of one slot cannot touch the other.
const SLOT_BYTES: usize = 4096;

/// Bytes before the record in its slot: its length and its checksum.
const HEADER_BYTES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Grows with each write: the greater one counts.
    sequence: u64,
    witness: Witness,
}

impl Versioned for Slot {
    const TYPE: u8 = 12;
    const LEVEL: Level = Level(2);

    fn read_earlier(_: Level, body: &[u8]) -> Result<Self, CodecError> {
        let SlotAtFirst { sequence, witness } = postcard::from_bytes(body)?;
        Ok(Self { sequence, witness: witness.into() })
    }

    fn write_earlier(&self, _: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let Self { sequence, witness } = *self;
        out.push(Level::FIRST.0);
        codec::write_body(&SlotAtFirst { sequence, witness: witness.into() }, out)
    }
}

/// [`Slot`] as level 1 has it.
#[derive(Debug, Serialize, Deserialize)]
struct SlotAtFirst {
    sequence: u64,
    witness: WitnessAtFirst,
}

/// The open guard file.
#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
    sequence: u64,
    witness: Witness,
}

impl Guard {
    /// Reads a guard file without changing it.
    pub(crate) fn read(path: &Path) -> Result<Witness, OpenError> {
        let bytes = std::fs::read(path).map_err(OpenError::io(path))?;
        newest(&bytes).map(|slot| slot.witness).map_err(OpenError::Guard)
    }

    /// Creates the file, as a whole or not at all.
    pub(crate) fn create(path: &Path, witness: Witness) -> Result<(), OpenError> {
        let write = || {
            let mut bytes = slot_bytes(&Slot { sequence: 0, witness })?;
            bytes.resize(2 * SLOT_BYTES, 0);
            files::write_atomically(path, &bytes)?;
            Ok(())
        };
        write().map_err(OpenError::storage(path))
    }

    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let bytes = std::fs::read(path).map_err(OpenError::io(path))?;
        let Slot { sequence, witness } = newest(&bytes).map_err(OpenError::Guard)?;
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(OpenError::io(path))?;
        Ok(Self { file, sequence, witness })
    }

    pub(crate) const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Writes into the slot that does not hold the newest record, and syncs. A crash in the middle
    /// leaves the record before.
    pub(crate) fn write(&mut self, witness: Witness) -> Result<(), StorageError> {
        let sequence = self.sequence.saturating_add(1);
        let bytes = slot_bytes(&Slot { sequence, witness })?;
        self.file.write_all_at(&bytes, slot_offset(sequence))?;
        self.file.sync_data()?;
        self.sequence = sequence;
        self.witness = witness;
        Ok(())
    }
}

const fn slot_offset(sequence: u64) -> u64 {
    (sequence % 2) * 4096
}

fn slot_bytes(slot: &Slot) -> Result<Vec<u8>, StorageError> {
    let record = codec::encode(slot, slot.witness.identity.level())?;
    let too_long = || io::Error::other("guard record does not fit its slot");
    let length = u32::try_from(record.len()).map_err(|_| too_long())?;
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&record).to_be_bytes());
    bytes.extend_from_slice(&record);
    if bytes.len() > SLOT_BYTES {
        return Err(too_long().into());
    }
    bytes.resize(SLOT_BYTES, 0);
    Ok(bytes)
}

/// Returns the intact slot with the greater sequence number. A crash in the middle of a write
/// damages one slot.
fn newest(bytes: &[u8]) -> Result<Slot, GuardError> {
    let mut newest: Option<Slot> = None;
    for slot in bytes.chunks(SLOT_BYTES).take(2).filter_map(intact) {
        let slot: Slot = codec::decode(slot)?;
        if newest.is_none_or(|newest| newest.sequence < slot.sequence) {
            newest = Some(slot);
        }
    }
    newest.ok_or(GuardError::NoIntactSlot)
}

fn intact(slot: &[u8]) -> Option<&[u8]> {
    let (header, rest) = slot.split_first_chunk::<HEADER_BYTES>()?;
    let (length, checksum) = header.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let record = rest.get(..length).filter(|record| !record.is_empty())?;
    let checksum = u32::from_be_bytes(checksum.try_into().ok()?);
    (crc32fast::hash(record) == checksum).then_some(record)
}

#[cfg(test)]
pub(crate) mod tests {
    use cluster_state::{LogIndex, MasterId, Term};
    use openraft::vote::leader_id_std::LeaderId;

    use super::*;
    use crate::identity::Identity;
    use crate::types::{NodeId, Vote, log_id};

    fn witness(last: u64) -> Witness {
        let identity = Identity { node: NodeId(1), name: MasterId(1), cluster: None };
        let vote = Vote { leader_id: LeaderId { term: 3, voted_for: NodeId(1) }, committed: true };
        let at = |term, index| Some(log_id(Term(term), LogIndex(index)));
        Witness::new(identity, Some(&vote), at(3, last), at(1, 4))
    }

    /// Returns a slot with everything that one can have.
    pub(crate) fn slot() -> Slot {
        Slot { sequence: 9, witness: witness(5) }
    }

    fn guard_with_two_writes() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        Guard::create(&path, witness(5)).unwrap();
        let mut guard = Guard::open(&path).unwrap();
        guard.write(witness(6)).unwrap();
        guard.write(witness(7)).unwrap();
        (dir, path)
    }

    #[test]
    fn the_last_write_counts() {
        let (_dir, path) = guard_with_two_writes();

        assert_eq!(Guard::read(&path).unwrap(), witness(7));
    }

    #[test]
    fn a_torn_write_leaves_the_one_before() {
        let (_dir, path) = guard_with_two_writes();
        let whole = std::fs::read(&path).unwrap();
        for cut in [9, 20, 4095] {
            let mut torn = whole.clone();
            // The third write went to the first slot.
            for byte in torn.iter_mut().take(SLOT_BYTES).skip(cut).take(16) {
                *byte ^= 0xff;
            }
            std::fs::write(&path, &torn).unwrap();
            let expected = if cut == 4095 { witness(7) } else { witness(6) };
            assert_eq!(Guard::read(&path).unwrap(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn two_damaged_slots_are_refused() {
        let (_dir, path) = guard_with_two_writes();
        std::fs::write(&path, vec![0xff; 2 * SLOT_BYTES]).unwrap();

        let error = Guard::read(&path).unwrap_err();

        assert_eq!(error.to_string(), "the guard file is damaged");
    }
}
