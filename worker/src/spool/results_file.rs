//! The spool's file: checksummed lines that are only ever appended, and rewritten when few of them
//! are still needed.
//!
//! A line is the CRC-32 of its JSON in hexadecimal, a space, and the JSON: a list of entries that
//! were written together.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_state::{AttemptOutcome, AttemptRef, FinishedAttempt, TaskResult};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::SpoolError;
use crate::disk::Disk;

pub(crate) const FILE: &str = "results";
/// Receives lines that cannot be read, for people who want to know what they held.
pub(crate) const DAMAGED_FILE: &str = "results.damaged";
/// Size below which the file is not worth rewriting.
pub(crate) const REWRITE_BYTES_MIN: u64 = 4 << 20;
/// Bytes of an entry besides the text in its outcome and its result.
const ENTRY_BYTES: u64 = 256;
/// Bytes of entries that share a line when the file is rewritten: a damaged line loses few.
const LINE_BYTES: u64 = 64 << 10;

/// One fact in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// An attempt ended.
    Finished(FinishedAttempt),
    /// The leader has confirmed its result.
    Confirmed(AttemptRef),
}

/// The open file, and the results in it that are still needed.
#[derive(Debug)]
pub(crate) struct ResultsFile {
    dir: PathBuf,
    file: File,
    bytes: u64,
    live: BTreeMap<AttemptRef, FinishedAttempt>,
    live_bytes: u64,
    /// Size above which the file is rewritten.
    rewrite_above: u64,
    disk: Arc<Disk>,
}

impl ResultsFile {
    /// Reads the existing file. An unreadable line is put aside, and the lines after it still
    /// count. So is an incomplete last line, which a crash most likely left behind.
    pub(crate) fn open(dir: &Path, disk: Arc<Disk>) -> io::Result<Self> {
        let path = dir.join(FILE);
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let mut results = Self {
            dir: dir.to_owned(),
            file,
            bytes: 0,
            live: BTreeMap::new(),
            live_bytes: 0,
            rewrite_above: REWRITE_BYTES_MIN,
            disk,
        };

        let damaged = results.replay(&content);
        let whole = usize::try_from(results.bytes).unwrap_or(usize::MAX);
        if let Some(half) = content.get(whole..).filter(|half| !half.is_empty()) {
            // A result that a crash cut off was never reported. A line whose end was damaged looks
            // the same.
            warn!(path = %path.display(), bytes = half.len(), kept_in = DAMAGED_FILE,
                "spool ends in half a line");
            results.keep_aside(&[half])?;
            results.file.set_len(results.bytes)?;
        }
        results.file.sync_all()?;
        File::open(dir)?.sync_all()?;
        if !damaged.is_empty() {
            results.put_aside(&damaged)?;
        }
        if !results.live.is_empty() {
            info!(results = results.live.len(), "unconfirmed results found");
        }
        Ok(results)
    }

    /// Iterates over the results that are not confirmed.
    pub(crate) fn live(&self) -> impl Iterator<Item = FinishedAttempt> {
        self.live.values().cloned()
    }

    /// Applies all complete lines, and returns the unreadable ones.
    fn replay<'a>(&mut self, content: &'a [u8]) -> Vec<&'a [u8]> {
        let mut damaged = Vec::new();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                break;
            }
            match decode(line) {
                Some(entries) => self.apply(entries),
                None => damaged.push(line),
            }
            self.bytes += u64::try_from(line.len()).unwrap_or(0);
        }
        damaged
    }

    /// Copies damaged lines aside and rewrites the file without them.
    fn put_aside(&mut self, damaged: &[&[u8]]) -> io::Result<()> {
        let path = self.dir.join(DAMAGED_FILE);
        error!(lines = damaged.len(), kept_in = %path.display(),
            "the spool has damaged lines: their results are lost, their tasks will run again");
        self.keep_aside(damaged)?;
        self.rewrite().map_err(io::Error::other)
    }

    fn keep_aside(&self, damaged: &[&[u8]]) -> io::Result<()> {
        let mut copy =
            OpenOptions::new().create(true).append(true).open(self.dir.join(DAMAGED_FILE))?;
        copy.write_all(&damaged.concat())?;
        copy.sync_all()
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let gone = match entry {
                Entry::Finished(ended) => {
                    self.live_bytes += entry_bytes(&ended);
                    self.live.insert(ended.attempt, ended)
                }
                Entry::Confirmed(attempt) => self.live.remove(&attempt),
            };
            if let Some(ended) = gone {
                self.live_bytes = self.live_bytes.saturating_sub(entry_bytes(&ended));
            }
        }
    }

    /// Appends entries. Results are safe on disk when this returns.
    pub(crate) fn append(
        &mut self,
        entries: Vec<Entry>,
        has_results: bool,
    ) -> Result<(), SpoolError> {
        let line = encode(&entries).map_err(|error| SpoolError::Write(error.to_string()))?;
        let disk = Arc::clone(&self.disk);
        disk.writing(|| self.write(&line))?;
        if has_results {
            self.file.sync_data().map_err(|error| SpoolError::Sync(error.to_string()))?;
        }
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        self.apply(entries);
        if self.is_worth_rewriting() { self.rewrite() } else { Ok(()) }
    }

    fn write(&mut self, line: &[u8]) -> Result<(), SpoolError> {
        let Err(error) = self.file.write_all(line) else { return Ok(()) };
        // The remains of a failed write would spoil the line after it.
        self.file.set_len(self.bytes).map_err(|error| SpoolError::Sync(error.to_string()))?;
        Err(SpoolError::of_write(&error))
    }

    fn is_worth_rewriting(&self) -> bool {
        self.bytes > self.rewrite_above.max(self.live_bytes.saturating_mul(2))
    }

    /// Drops confirmed results.
    fn rewrite(&mut self) -> Result<(), SpoolError> {
        match self.write_anew() {
            Ok((file, bytes)) => {
                self.file = file;
                self.bytes = bytes;
                self.rewrite_above = REWRITE_BYTES_MIN;
            }
            Err(error) => {
                // The old file is still complete and in use.
                warn!(%error, "cannot rewrite spool");
                self.rewrite_above = self.bytes.saturating_add(REWRITE_BYTES_MIN);
                return Ok(());
            }
        }
        // Until the rename is on disk, a power cut would bring the old file back.
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| SpoolError::Sync(error.to_string()))
    }

    fn write_anew(&self) -> io::Result<(File, u64)> {
        let path = self.dir.join("results.new");
        let mut content = Vec::new();
        let (mut line, mut line_bytes) = (Vec::new(), 0);
        for result in self.live() {
            line_bytes += entry_bytes(&result);
            line.push(Entry::Finished(result));
            if line_bytes >= LINE_BYTES {
                content.extend(encode(&std::mem::take(&mut line))?);
                line_bytes = 0;
            }
        }
        content.extend(encode(&line)?);

        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(0)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&path, self.dir.join(FILE))?;
        Ok((file, u64::try_from(content.len()).unwrap_or(0)))
    }
}

/// Estimates the bytes of an entry in the file.
fn entry_bytes(ended: &FinishedAttempt) -> u64 {
    let result = ended.report.as_ref().and_then(|report| report.result.as_ref());
    let result = match result {
        // Two digits for each byte.
        Some(TaskResult::Kept(payload)) => payload.len().saturating_mul(2),
        Some(TaskResult::Unreadable { detail }) => detail.len(),
        Some(TaskResult::TooLarge { .. }) | None => 0,
    };
    let text = match &ended.outcome {
        AttemptOutcome::StartFailed { detail } | AttemptOutcome::WorkerUnfit { detail } => {
            detail.len()
        }
        AttemptOutcome::Exited { .. }
        | AttemptOutcome::Signaled { .. }
        | AttemptOutcome::Lost(_) => 0,
    };
    ENTRY_BYTES.saturating_add(u64::try_from(text.saturating_add(result)).unwrap_or(u64::MAX))
}

pub(crate) fn encode(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(entries)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

pub(crate) fn decode(line: &[u8]) -> Option<Vec<Entry>> {
    let (checksum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    (checksum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}
