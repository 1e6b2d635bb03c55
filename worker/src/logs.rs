//! Stores the output of attempts: outside their working directories, limited in size, readable
//! while it grows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_state::AttemptRef;
use parking_lot::Mutex;
use proto::output::OutputStream;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Semaphore, watch};
use tracing::warn;

mod file_clock;
pub(crate) mod parts;
mod reader;
mod retention;
mod writer;

pub(crate) use reader::{Follow, LogReader, OpenError};
pub(crate) use retention::{Retention, Sweeper};
use writer::Bounds;
pub(crate) use writer::StreamWriter;

/// Maximum bytes of one read from a pipe. Each running attempt has two such buffers.
const PIPE_BYTES: usize = 16 << 10;
/// Name of the file for a task's result, among those of the logs of an attempt.
const RESULT: &str = "result";
/// Logs are readable by their owner only: they may hold secrets of a task.
const DIR_MODE: u32 = 0o700;

/// The logs of all attempts of this worker.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Directory of the logs.
    logs: PathBuf,
    /// Directory of the working directories: beside the logs, because a task may damage its own
    /// directory.
    tasks: PathBuf,
    bounds: Bounds,
    readers: Arc<Semaphore>,
    readers_max: usize,
    live: Mutex<BTreeMap<AttemptRef, watch::Receiver<Growth>>>,
}

/// Changes whenever there is something new to read; the channel closes at the end.
#[derive(Debug, Clone, Copy, Default)]
struct Growth(u64);

impl Logs {
    /// Creates a store of logs under `data_dir`, with that many bytes per stream, for that many
    /// readers at the same time.
    #[must_use]
    pub(crate) fn new(data_dir: &Path, stream_bytes_max: u64, readers_max: usize) -> Self {
        let shared = Shared {
            logs: data_dir.join("logs"),
            tasks: data_dir.join("tasks"),
            bounds: Bounds::of(stream_bytes_max),
            readers: Arc::new(Semaphore::new(readers_max)),
            readers_max,
            live: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins the logs of an attempt: from now on it can be followed.
    #[must_use]
    pub(crate) fn begin(&self, attempt: AttemptRef) -> AttemptLogs {
        let (growth, follower) = watch::channel(Growth::default());
        self.live().insert(attempt, follower);
        AttemptLogs { attempt, growth, logs: self.clone() }
    }

    /// Returns the directory in which an attempt runs.
    #[must_use]
    pub(crate) fn working_dir(&self, attempt: AttemptRef) -> PathBuf {
        below(&self.shared.tasks, attempt)
    }

    /// Returns the directory of an attempt's logs.
    fn dir(&self, attempt: AttemptRef) -> PathBuf {
        below(&self.shared.logs, attempt)
    }

    fn live(&self) -> parking_lot::MutexGuard<'_, BTreeMap<AttemptRef, watch::Receiver<Growth>>> {
        self.shared.live.lock()
    }
}

fn below(root: &Path, attempt: AttemptRef) -> PathBuf {
    root.join(attempt.task.to_string()).join(attempt.attempt.0.to_string())
}

/// Destination of one attempt's output. Readers see the end once this is dropped.
#[derive(Debug)]
pub(crate) struct AttemptLogs {
    attempt: AttemptRef,
    growth: watch::Sender<Growth>,
    logs: Logs,
}

impl AttemptLogs {
    /// Returns the directory in which the attempt runs.
    #[must_use]
    pub(crate) fn working_dir(&self) -> PathBuf {
        self.logs.working_dir(self.attempt)
    }

    /// Returns the file into which the attempt may write the result of its task: beside its logs, which
    /// nobody else writes.
    #[must_use]
    pub(crate) fn result_path(&self) -> PathBuf {
        let path = self.logs.dir(self.attempt).join(RESULT);
        // The attempt runs in another directory.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Creates the files for both outputs, before any program of the task runs. It blocks.
    pub(crate) fn create(&self) -> io::Result<[StreamWriter; 2]> {
        let dir = self.logs.dir(self.attempt);
        // An existing directory is of another cluster, to which this worker belonged before.
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(&dir)?;
        let bounds = self.logs.shared.bounds;
        let [out, err] = OutputStream::ALL.map(|stream| StreamWriter::create(&dir, stream, bounds));
        Ok([out?, err?])
    }

    /// Copies one output of the process to its files until the process closes it. Output that the
    /// disk does not take is read and dropped, so that the process is never blocked.
    pub(crate) async fn record(
        &self,
        mut writer: StreamWriter,
        mut output: impl AsyncRead + Unpin,
    ) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(PIPE_BYTES);
        loop {
            chunk.clear();
            if output.read_buf(&mut chunk).await? == 0 {
                return Ok(());
            }
            let writing = tokio::task::spawn_blocking(move || {
                let kept = writer.keep(&chunk);
                (writer, chunk, kept)
            });
            let kept;
            (writer, chunk, kept) = writing.await.map_err(io::Error::other)?;
            if let Err(error) = kept {
                warn!(task = %self.attempt.task, attempt = %self.attempt.attempt,
                    stream = %writer.stream(), %error, "output lost");
            }
            self.growth.send_modify(|growth| growth.0 += 1);
        }
    }
}

impl Drop for AttemptLogs {
    fn drop(&mut self) {
        self.logs.live().remove(&self.attempt);
    }
}

#[cfg(test)]
mod tests;
