//! Results that no leader has confirmed yet, kept on disk: one file of checksummed lines.
//!
//! A line is the CRC-32 of its JSON in hexadecimal, a space, and the JSON: a list of entries that
//! were written together. One thread owns the file and syncs it once for all results that wait.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use cluster_state::{AttemptOutcome, AttemptRef, FinishedAttempt};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::{info, warn};

const FILE: &str = "results";
/// Below this the file is not worth rewriting.
const REWRITE_BYTES_MIN: u64 = 4 << 20;
/// A generous size of one live entry: a file of less than twice that is not rewritten again.
const LIVE_ENTRY_BYTES: u64 = 128;

/// Handle on the spool's thread.
#[derive(Debug)]
pub(crate) struct Spool {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// Why results are not on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// The file did not take them; it may later, when there is space again.
    #[error("cannot write results: {0}")]
    Write(String),
    /// What the disk has is unknown, and trying again would not tell.
    #[error("cannot sync results: {0}")]
    Sync(String),
}

impl SpoolError {
    /// Whether the same results may be written again.
    #[must_use]
    pub(crate) const fn is_retryable(&self) -> bool {
        match self {
            Self::Write(_) => true,
            Self::Sync(_) => false,
        }
    }
}

#[derive(Debug)]
enum Request {
    Store(Vec<FinishedAttempt>, oneshot::Sender<Result<(), SpoolError>>),
    Forget(Vec<AttemptRef>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Finished(FinishedAttempt),
    Confirmed(AttemptRef),
}

impl Spool {
    /// Opens the spool in `dir` and returns it with the results that wait in it.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Vec<FinishedAttempt>)> {
        fs::create_dir_all(dir)?;
        let results = ResultsFile::open(dir)?;
        let waiting = results.live.iter().map(finished).collect::<Vec<_>>();
        let (requests, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || serve(results, &inbox))?;
        Ok((Self { requests: Some(requests), thread: Some(thread) }, waiting))
    }

    /// Returns when the results are sure to survive a power cut.
    pub(crate) async fn store(&self, results: Vec<FinishedAttempt>) -> Result<(), SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Store(results, reply));
        answer.await.unwrap_or_else(|_| Err(SpoolError::Sync("the spool is closed".to_owned())))
    }

    /// The leader has confirmed these. Losing this word in a crash only repeats a report.
    pub(crate) fn forget(&self, attempts: Vec<AttemptRef>) {
        if !attempts.is_empty() {
            self.send(Request::Forget(attempts));
        }
    }

    fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // A closed channel drops the request, and whoever waits for its answer sees that.
            requests.send(request).unwrap_or_else(|_| warn!("spool has stopped"));
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("spool thread panicked");
        }
    }
}

fn serve(mut results: ResultsFile, inbox: &mpsc::Receiver<Request>) {
    while let Ok(first) = inbox.recv() {
        let mut entries = Vec::new();
        let mut waiting = Vec::new();
        for request in std::iter::once(first).chain(inbox.try_iter()) {
            match request {
                Request::Store(finished, reply) => {
                    entries.extend(finished.into_iter().map(Entry::Finished));
                    waiting.push(reply);
                }
                Request::Forget(attempts) => {
                    entries.extend(attempts.into_iter().map(Entry::Confirmed));
                }
            }
        }
        let outcome = results.append(entries, !waiting.is_empty());
        if let Err(error) = &outcome {
            warn!(%error, "results not stored");
        }
        for reply in waiting {
            // Whoever asked may have gone.
            reply.send(outcome.clone()).unwrap_or_default();
        }
        if outcome.is_err_and(|error| !error.is_retryable()) {
            return;
        }
    }
}

struct ResultsFile {
    dir: PathBuf,
    file: File,
    bytes: u64,
    live: BTreeMap<AttemptRef, AttemptOutcome>,
}

impl ResultsFile {
    fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let mut results = Self { dir: dir.to_owned(), file, bytes: 0, live: BTreeMap::new() };
        results.replay(&content);
        let dropped = u64::try_from(content.len()).unwrap_or(u64::MAX) - results.bytes;
        if dropped > 0 {
            // A crash in the middle of a write; what it cut off was never reported.
            warn!(path = %path.display(), dropped_bytes = dropped, "spool ends in a damaged line");
            results.file.set_len(results.bytes)?;
        }
        results.file.sync_all()?;
        File::open(dir)?.sync_all()?;
        if !results.live.is_empty() {
            info!(results = results.live.len(), "unconfirmed results found");
        }
        Ok(results)
    }

    fn replay(&mut self, content: &[u8]) {
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let Some(entries) = decode(line) else { return };
            self.note(entries);
            self.bytes += u64::try_from(line.len()).unwrap_or(0);
        }
    }

    fn note(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match entry {
                Entry::Finished(FinishedAttempt { attempt, outcome }) => {
                    self.live.insert(attempt, outcome);
                }
                Entry::Confirmed(attempt) => {
                    self.live.remove(&attempt);
                }
            }
        }
    }

    fn append(&mut self, entries: Vec<Entry>, has_results: bool) -> Result<(), SpoolError> {
        let line = encode(&entries).map_err(|error| SpoolError::Write(error.to_string()))?;
        if let Err(error) = self.file.write_all(&line) {
            // What a failed write left behind would hide the lines after it.
            self.file.set_len(self.bytes).map_err(|error| SpoolError::Sync(error.to_string()))?;
            return Err(SpoolError::Write(error.to_string()));
        }
        if has_results {
            self.file.sync_data().map_err(|error| SpoolError::Sync(error.to_string()))?;
        }
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        self.note(entries);
        if self.is_worth_rewriting() { self.rewrite() } else { Ok(()) }
    }

    fn is_worth_rewriting(&self) -> bool {
        let live_bytes =
            u64::try_from(self.live.len()).unwrap_or(u64::MAX).saturating_mul(LIVE_ENTRY_BYTES);
        self.bytes > REWRITE_BYTES_MIN.max(live_bytes.saturating_mul(2))
    }

    /// Drops what has been confirmed.
    fn rewrite(&mut self) -> Result<(), SpoolError> {
        match self.write_anew() {
            Ok((file, bytes)) => {
                self.file = file;
                self.bytes = bytes;
            }
            Err(error) => {
                // The old file is still whole and in use.
                warn!(%error, "spool not rewritten");
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
        let entries = self.live.iter().map(|live| Entry::Finished(finished(live)));
        let line = encode(&entries.collect::<Vec<_>>())?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(0)?;
        file.write_all(&line)?;
        file.sync_all()?;
        fs::rename(&path, self.dir.join(FILE))?;
        Ok((file, u64::try_from(line.len()).unwrap_or(0)))
    }
}

fn encode(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(entries)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

fn decode(line: &[u8]) -> Option<Vec<Entry>> {
    let (checksum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    (checksum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}

fn finished((attempt, outcome): (&AttemptRef, &AttemptOutcome)) -> FinishedAttempt {
    FinishedAttempt { attempt: *attempt, outcome: outcome.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::attempt_ref;

    fn result(task: u64) -> FinishedAttempt {
        let outcome = AttemptOutcome::StartFailed { detail: "no\nsuch \"file\"".to_owned() };
        FinishedAttempt { attempt: attempt_ref(task, 1), outcome }
    }

    fn waiting(dir: &Path) -> Vec<FinishedAttempt> {
        Spool::open(dir).unwrap().1
    }

    #[tokio::test]
    async fn results_survive_until_they_are_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, before) = Spool::open(dir.path()).unwrap();
        assert_eq!(before, []);
        spool.store(vec![result(1), result(2)]).await.unwrap();
        spool.store(vec![result(3)]).await.unwrap();
        spool.forget(vec![result(2).attempt]);
        drop(spool);

        assert_eq!(waiting(dir.path()), [result(1), result(3)]);
    }

    #[tokio::test]
    async fn a_torn_last_line_is_dropped_and_the_spool_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path()).unwrap();
        spool.store(vec![result(1)]).await.unwrap();
        spool.store(vec![result(2)]).await.unwrap();
        drop(spool);
        let path = dir.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();

        let (spool, found) = Spool::open(dir.path()).unwrap();
        assert_eq!(found, [result(1)]);
        spool.store(vec![result(4)]).await.unwrap();
        drop(spool);

        assert_eq!(waiting(dir.path()), [result(1), result(4)]);
    }

    #[tokio::test]
    async fn a_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path()).unwrap();
        spool.store(vec![result(1)]).await.unwrap();
        drop(spool);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();

        assert_eq!(waiting(dir.path()), []);
    }

    #[tokio::test]
    async fn confirmed_results_do_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path()).unwrap();
        spool.store(vec![result(0)]).await.unwrap();
        for round in 1..=20 {
            let batch = (1..=5_000).map(|n| result(round * 10_000 + n)).collect::<Vec<_>>();
            let attempts = batch.iter().map(|result| result.attempt).collect();
            spool.store(batch).await.unwrap();
            spool.forget(attempts);
        }
        spool.store(vec![result(7)]).await.unwrap();
        drop(spool);

        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() < 2 * REWRITE_BYTES_MIN);
        assert_eq!(waiting(dir.path()), [result(0), result(7)]);
    }
}
