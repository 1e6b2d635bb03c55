//! The file of the identity: two slots that are written in turn and in place. The room for them is
//! there from the start, so a full disk does not keep a term from being remembered, and a write
//! that is cut short leaves the other slot whole.
//!
//! A slot is the CRC-32 of its JSON in hexadecimal, a space, the JSON, a line break, and zeros.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cluster_state::{ClusterId, StartNumber, Term, WorkerId};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::IdentityError;

pub(crate) const FORMAT: u32 = 2;
/// Block size of most file systems.
pub(crate) const SLOT_BYTES: usize = 4_096;
const SLOTS: u64 = 2;

/// Content of the identity file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) worker_id: WorkerId,
    /// As texts: JSON has no integers of 128 bits.
    pub(crate) cluster_id: Option<String>,
    pub(crate) data_id: String,
    /// Number of starts in this directory, including the last one.
    pub(crate) starts: StartNumber,
    pub(crate) incarnation: String,
    pub(crate) term: Term,
    /// Hints only: those that do not fit into the slot are left out.
    pub(crate) masters: Vec<String>,
}

impl Record {
    /// Returns the record of a worker that has never met a leader.
    pub(crate) fn of(worker_id: WorkerId) -> Self {
        Self {
            worker_id,
            cluster_id: None,
            data_id: String::new(),
            starts: StartNumber(0),
            incarnation: String::new(),
            term: Term(0),
            masters: Vec::new(),
        }
    }

    /// Returns the cluster, once a leader has been met.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster_id.as_ref().and_then(|id| id.parse().ok())
    }
}

/// Content of one slot.
#[derive(Serialize, Deserialize)]
struct Slot {
    format: u32,
    /// Grows with each write: the higher one counts, and its parity selects the slot.
    serial: u64,
    record: Record,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The open file; none before the first write.
#[derive(Debug)]
pub(crate) struct Slots {
    path: PathBuf,
    file: Option<File>,
    /// Serial number of the last write.
    serial: u64,
}

impl Slots {
    /// Reads the file, if there is one.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Record>), IdentityError> {
        let at = |source| IdentityError::Io { path: path.to_owned(), source };
        let mut slots = Self { path: path.to_owned(), file: None, serial: 0 };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((slots, None)),
            Err(error) => return Err(at(error)),
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(at)?;

        let mut newest = None::<Slot>;
        for bytes in content.chunks(SLOT_BYTES) {
            match decode(bytes) {
                Decoded::Slot(slot) => {
                    if newest.as_ref().is_none_or(|newest| slot.serial > newest.serial) {
                        newest = Some(slot);
                    }
                }
                Decoded::Newer(found) => {
                    return Err(IdentityError::NewerFormat { path: path.to_owned(), found });
                }
                Decoded::Empty => {}
                Decoded::Damaged => {
                    warn!(path = %path.display(), "one of the two slots cannot be read");
                }
            }
        }
        let newest = newest.ok_or_else(|| IdentityError::Damaged(path.to_owned()))?;
        slots.serial = newest.serial;
        slots.file = Some(file);
        Ok((slots, Some(newest.record)))
    }

    /// Writes the record; returns once it is sure to survive a power cut.
    pub(crate) fn write(&mut self, record: &Record) -> Result<(), IdentityError> {
        self.try_write(record)
            .map_err(|source| IdentityError::Io { path: self.path.clone(), source })
    }

    fn try_write(&mut self, record: &Record) -> io::Result<()> {
        let serial = self.serial + 1;
        let bytes = encode(serial, record)?;
        let offset = (serial % SLOTS) * u64::try_from(SLOT_BYTES).map_err(io::Error::other)?;
        match &self.file {
            Some(file) => {
                file.write_all_at(&bytes, offset)?;
                file.sync_data()?;
            }
            None => self.file = Some(self.create(&bytes, offset)?),
        }
        self.serial = serial;
        Ok(())
    }

    /// Creates the whole file in one step.
    fn create(&self, slot: &[u8], offset: u64) -> io::Result<File> {
        let new_path = self.path.with_extension("new");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new_path)?;
        for number in 0..SLOTS {
            file.write_all_at(
                &[0; SLOT_BYTES],
                number * u64::try_from(SLOT_BYTES).map_err(io::Error::other)?,
            )?;
        }
        file.write_all_at(slot, offset)?;
        file.sync_all()?;
        fs::rename(&new_path, &self.path)?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()?;
        Ok(file)
    }
}

fn encode(serial: u64, record: &Record) -> io::Result<Vec<u8>> {
    let mut slot = Slot { format: FORMAT, serial, record: record.clone() };
    loop {
        let json = serde_json::to_vec(&slot)?;
        let mut bytes = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
        bytes.extend(json);
        bytes.push(b'\n');
        if bytes.len() <= SLOT_BYTES {
            bytes.resize(SLOT_BYTES, 0);
            return Ok(bytes);
        }
        if slot.record.masters.pop().is_none() {
            return Err(io::Error::other("the identity does not fit into its slot"));
        }
    }
}

enum Decoded {
    Slot(Slot),
    /// A later version wrote it.
    Newer(u32),
    /// Nothing has been written yet.
    Empty,
    Damaged,
}

fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() == SLOT_BYTES && bytes.iter().all(|byte| *byte == 0) {
        return Decoded::Empty;
    }
    let Some(json) = checked(bytes) else { return Decoded::Damaged };
    match serde_json::from_slice::<Format>(json) {
        Ok(Format { format }) if format > FORMAT => Decoded::Newer(format),
        Ok(_) => serde_json::from_slice(json).map_or(Decoded::Damaged, Decoded::Slot),
        Err(_) => Decoded::Damaged,
    }
}

/// Returns the JSON of a slot, if its checksum is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let (checksum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    (checksum == crc32fast::hash(json)).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        let json = format!(r#"{{"format":{},"news":true}}"#, FORMAT + 1);
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        fs::write(&path, line).unwrap();

        let refused = Slots::open(&path).unwrap_err();

        assert!(matches!(refused, IdentityError::NewerFormat { found: 3, .. }), "{refused}");
    }

    #[test]
    fn the_slots_are_written_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        let (mut slots, none) = Slots::open(&path).unwrap();
        assert_eq!(none, None);
        let mut record = Record::of("w1".parse().unwrap());
        for term in 1..=4 {
            record.term = Term(term);
            slots.write(&record).unwrap();
            let (reopened, read) = Slots::open(&path).unwrap();
            assert_eq!((reopened.serial, read), (term, Some(record.clone())));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_read_as_what_was_not_written(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            proptest::prop_assert!(!matches!(decode(&bytes), Decoded::Slot(_)));
        }
    }
}
