//! Repairs a write-ahead log whose last record was being written when the power failed: the file
//! system may have kept the file's new length and not the bytes, so that sectors of it read as
//! zeros.
//!
//! RocksDB tolerates a record that runs into the end of the file, and refuses one whose bytes are
//! there and wrong. This module tolerates one more, by the rule of etcd: the last record, if one of
//! its sectors holds only zeros, and if the log without it still holds what the guard remembers. It
//! was not acknowledged, because nothing is before its sync. Everything else is damage.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::files;
use crate::guard::Witness;
use crate::log_store::Held;
use crate::rocks;

/// Unit in which a disk writes.
const SECTOR_BYTES: usize = 512;

/// Block size of RocksDB's log; no fragment of a record spans two.
const BLOCK_BYTES: usize = 32 << 10;

/// Checksum, length and kind of a fragment.
const HEADER_BYTES: usize = 7;

/// A torn last record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TornTail {
    wal: PathBuf,
    /// Offset of the torn record.
    cut: u64,
    bytes: u64,
}

impl TornTail {
    /// Finds one in the newest write-ahead log of the database in `log`.
    pub(crate) fn find(log: &Path) -> io::Result<Option<Self>> {
        let Some(wal) = newest_wal(log)? else { return Ok(None) };
        let bytes = fs::read(&wal)?;
        let cut = last_record(&bytes);
        let torn = cut.and_then(|cut| Some((cut, bytes.get(cut..)?)));
        let torn = torn.filter(|(cut, tail)| has_empty_sector(*cut, tail));
        let as_u64 = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        Ok(torn.map(|(cut, tail)| Self { wal, cut: as_u64(cut), bytes: as_u64(tail.len()) }))
    }

    /// Returns true if the log without the torn record holds all that the guard remembers, tried on
    /// a copy in `probe`.
    pub(crate) fn is_unguarded(&self, probe: &Path, witness: &Witness) -> Result<bool, OpenError> {
        let look = || {
            files::remove_dir(probe).map_err(OpenError::io(probe))?;
            self.copy_without(probe).map_err(OpenError::io(probe))?;
            let database = rocks::open_log_read_only(probe)?;
            let held = Held::load(&database).map_err(OpenError::storage(probe))?;
            Ok(held.is_some_and(|held| witness.check(&held.witness()).is_ok()))
        };
        let is_unguarded = look();
        files::remove_dir(probe).map_err(OpenError::io(probe))?;
        match is_unguarded {
            Err(OpenError::Damaged { .. }) => Ok(false),
            looked => looked,
        }
    }

    /// Makes `probe` the log without the torn record, to look into.
    pub(crate) fn copy_without(&self, probe: &Path) -> io::Result<()> {
        let log = self.wal.parent().unwrap_or(&self.wal);
        files::borrow_database(log, probe)?;
        let wal = probe.join(self.wal.file_name().unwrap_or_default());
        OpenOptions::new().write(true).open(&wal)?.set_len(self.cut)
    }

    /// Cuts the record off.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.wal)?;
        file.set_len(self.cut)?;
        file.sync_all()?;
        tracing::warn!(
            bytes = self.bytes,
            "the last write to the log was torn by a crash before it was acknowledged: cut off"
        );
        Ok(())
    }
}

fn newest_wal(log: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        let is_wal = path.extension().is_some_and(|extension| extension == "log");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (true, Some(number)) = (is_wal, number) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Returns the offset of the last record, whole or not. None when the file has another form, or
/// when a record with a hole in it is followed by another: then the hole was not there at the sync.
fn last_record(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    let mut begin = None;
    let mut is_complete = true;
    let mut has_hole = false;

    while offset < bytes.len() {
        let block_end = (offset + 1).next_multiple_of(BLOCK_BYTES).min(bytes.len());
        let block = bytes.get(offset..block_end)?;
        let Some((&[_, _, _, _, low, high, kind], _)) = block.split_first_chunk::<HEADER_BYTES>()
        else {
            // The padding of a full block, or a header that runs into the end.
            offset = block_end;
            continue;
        };

        let len = usize::from(u16::from_le_bytes([low, high]));
        match kind {
            // A header that is missing where a record should begin: nothing follows in its block.
            0 if is_complete && block.iter().any(|byte| *byte != 0) => return None,
            0 => {
                begin = if is_complete { Some(offset) } else { begin };
                has_hole = true;
                is_complete = false;
                offset = block_end;
                continue;
            }
            // The whole of a record, or the first of its fragments.
            1 | 2 if is_complete && !has_hole => begin = Some(offset),
            // A middle fragment, or the last one.
            3 | 4 if !is_complete => {}
            _ => return None,
        }

        is_complete = kind == 1 || kind == 4;
        offset += HEADER_BYTES + len;
    }
    begin
}

/// Returns true if one of the sectors of `tail`, which begins at `offset`, holds only zeros of it.
fn has_empty_sector(offset: usize, tail: &[u8]) -> bool {
    let to_border = (SECTOR_BYTES - offset % SECTOR_BYTES).min(tail.len());
    let (first, rest) = tail.split_at(to_border);
    let is_empty = |sector: &[u8]| !sector.is_empty() && sector.iter().all(|byte| *byte == 0);
    is_empty(first) || rest.chunks(SECTOR_BYTES).any(is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(kind: u8, len: u16) -> Vec<u8> {
        let mut bytes = vec![9; 4];
        bytes.extend(len.to_le_bytes());
        bytes.push(kind);
        bytes.extend(vec![7; usize::from(len)]);
        bytes
    }

    #[test]
    fn the_last_record_is_found() {
        let two = [fragment(1, 100), fragment(1, 50)].concat();
        let full_block = fragment(1, 32_754);
        let parts = |middle: Vec<u8>| {
            [full_block.clone(), fragment(2, 0), middle, fragment(3, 32_761), fragment(4, 5)]
                .concat()
        };
        let cases = [
            (fragment(1, 100), Some(0)),
            (two.clone(), Some(107)),
            (two[..130].to_vec(), Some(107)),
            // A missing header, and one that runs into the end.
            ([two.clone(), vec![0; 600]].concat(), Some(164)),
            ([two.clone(), vec![9; 3]].concat(), Some(107)),
            // A record of several blocks: whole, cut, and with a block that was not written.
            (parts(fragment(3, 32_761)), Some(32_761)),
            ([full_block.clone(), fragment(2, 0), vec![0; 900]].concat(), Some(32_761)),
            (parts(vec![0; BLOCK_BYTES]), Some(32_761)),
            // A hole with another record after it.
            ([two.clone(), vec![0; 600], fragment(1, 9)].concat(), None),
            ([parts(vec![0; BLOCK_BYTES]), fragment(1, 9)].concat(), None),
            // Another kind of log.
            (fragment(4, 3), None),
            (fragment(9, 3), None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(last_record(&bytes), expected, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_sector_without_a_byte_is_empty() {
        assert!(has_empty_sector(500, &[[0; 12].as_slice(), &[1; 20]].concat()));
        assert!(has_empty_sector(0, &[[1; 512].as_slice(), &[0; 512], &[1; 9]].concat()));
        assert!(has_empty_sector(0, &[[1; 512].as_slice(), &[0; 3]].concat()));
        assert!(!has_empty_sector(256, &[[1; 256].as_slice(), &[0; 511], &[1; 9]].concat()));
        assert!(!has_empty_sector(0, &[]));
    }
}
