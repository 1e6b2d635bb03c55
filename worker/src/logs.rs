//! What attempts print: two files for each attempt, limited in size, read while they grow.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cluster_state::AttemptRef;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tracing::warn;

mod reader;
mod retention;

pub(crate) use reader::Follow;
pub(crate) use retention::Retention;

/// What one read from a pipe takes at most.
const CHUNK_BYTES: usize = 64 << 10;

/// One of the two outputs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, in the order in which they are read.
    pub(crate) const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its name, which is also its file's.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The logs of all attempts of this worker.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    root: Arc<Path>,
    stream_bytes_max: u64,
    live: Arc<Mutex<BTreeMap<AttemptRef, watch::Receiver<Growth>>>>,
}

/// Changes whenever there is something new to read; the channel closes at the end.
#[derive(Debug, Clone, Copy, Default)]
struct Growth(u64);

impl Logs {
    /// Keeps logs under `root`, each stream up to so many bytes.
    #[must_use]
    pub(crate) fn new(root: PathBuf, stream_bytes_max: u64) -> Self {
        Self { root: root.into(), stream_bytes_max, live: Arc::default() }
    }

    /// Begins the logs of an attempt; nothing is written until it prints.
    #[must_use]
    pub(crate) fn begin(&self, attempt: AttemptRef) -> AttemptLogs {
        let (growth, follower) = watch::channel(Growth::default());
        self.live().insert(attempt, follower);
        AttemptLogs { attempt, growth, logs: self.clone() }
    }

    /// The directory of an attempt.
    #[must_use]
    pub(crate) fn dir(&self, attempt: AttemptRef) -> PathBuf {
        self.root.join(attempt.task.to_string()).join(attempt.attempt.0.to_string())
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptRef, watch::Receiver<Growth>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one attempt's output goes. Readers see the end once this is dropped.
#[derive(Debug)]
pub(crate) struct AttemptLogs {
    attempt: AttemptRef,
    growth: watch::Sender<Growth>,
    logs: Logs,
}

impl AttemptLogs {
    /// The attempt's directory.
    #[must_use]
    pub(crate) fn dir(&self) -> PathBuf {
        self.logs.dir(self.attempt)
    }

    /// Copies one output of the process to its file until the process closes it. What exceeds the
    /// limit, or finds the disk full, is read and dropped, so that the process is never held up.
    pub(crate) async fn record(
        &self,
        stream: Stream,
        mut output: impl AsyncRead + Unpin,
    ) -> io::Result<()> {
        let mut file = None;
        let mut room = self.logs.stream_bytes_max;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let len = output.read(&mut chunk).await?;
            let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            if room == 0 {
                continue;
            }
            if let Err(error) = self.write(stream, &mut file, &mut room, bytes).await {
                warn!(task = %self.attempt.task, attempt = %self.attempt.attempt, %stream, %error,
                    "output not kept");
                room = 0;
            }
            self.growth.send_modify(|growth| growth.0 += 1);
        }
    }

    async fn write(
        &self,
        stream: Stream,
        file: &mut Option<File>,
        room: &mut u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let file = match file {
            Some(file) => file,
            None => file.insert(create(&self.dir().join(stream.name())).await?),
        };
        let len = usize::try_from(*room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (kept, dropped) = bytes.split_at(len);
        file.write_all(kept).await?;
        *room -= u64::try_from(len).unwrap_or(*room);
        if !dropped.is_empty() {
            *room = 0;
            file.write_all(self.marker().as_bytes()).await?;
        }
        file.flush().await
    }

    fn marker(&self) -> String {
        format!("\n[output beyond {} bytes dropped]\n", self.logs.stream_bytes_max)
    }
}

impl Drop for AttemptLogs {
    fn drop(&mut self) {
        self.logs.live().remove(&self.attempt);
    }
}

async fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path).await
}

#[cfg(test)]
mod tests;
