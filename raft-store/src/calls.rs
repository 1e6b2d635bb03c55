//! Makes every call to RocksDB and the file system while a store is open: each has a name, and a
//! consequence for the node when it fails.
//!
//! **Invariant:** an error after which this replica could differ from the others, or fall behind
//! them, raises [`Fatal`]; the process then ends as a whole.

use std::error::Error;

use crate::error::StorageError;
use crate::fatal::Fatal;

#[cfg(test)]
mod tests;

/// A kind of storage call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Writes and syncs a batch of the log.
    LogWrite,
    /// Reads entries that are no longer in memory.
    LogRead,
    /// Writes and syncs the guard.
    GuardWrite,
    /// Writes the changes of entries, and reads the record of a forgotten task.
    StateWrite,
    /// Makes the state durable, so that the log may be purged.
    StateFlush,
    /// Replaces the state by a received snapshot.
    SnapshotInstall,
    /// Takes a checkpoint of the state.
    SnapshotTake,
    /// Reads a checkpoint's files to send them.
    SnapshotRead,
    /// Stores a snapshot that arrives.
    SnapshotReceive,
    /// Opens a snapshot that has arrived, and reads its state.
    SnapshotPrepare,
    /// Reads finished tasks.
    HistoryRead,
    /// Writes what was seen of other logs.
    SeenWrite,
}

/// Consequence of a failed call for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The content of the disk is unknown, or the log cannot be followed: the process ends.
    Fatal,
    /// The caller gets the error, and nothing else depends on the call.
    Told,
}

impl Call {
    /// Returns the consequence of a failure for the node.
    pub(crate) const fn consequence(self) -> Consequence {
        match self {
            Self::LogWrite
            | Self::LogRead
            | Self::GuardWrite
            | Self::StateWrite
            | Self::StateFlush
            | Self::SnapshotInstall => Consequence::Fatal,
            Self::SnapshotTake
            | Self::SnapshotRead
            | Self::SnapshotReceive
            | Self::SnapshotPrepare
            | Self::HistoryRead
            | Self::SeenWrite => Consequence::Told,
        }
    }
}

/// Makes storage calls; clones share the fatal error.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    fatal: Fatal,
    #[cfg(test)]
    fault: std::sync::Arc<parking_lot::Mutex<Option<Call>>>,
}

impl Calls {
    pub(crate) fn new(fatal: Fatal) -> Self {
        Self {
            fatal,
            #[cfg(test)]
            fault: std::sync::Arc::default(),
        }
    }

    /// Makes a call, and raises [`Fatal`] if its failure is fatal.
    pub(crate) fn run<T, E: Error + From<StorageError>>(
        &self,
        call: Call,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let result = match self.injected(call) {
            Some(error) => Err(error.into()),
            None => work(),
        };
        result.inspect_err(|error| match call.consequence() {
            Consequence::Fatal => self.fatal.raise(&describe(error)),
            Consequence::Told => {}
        })
    }

    /// Like [`Self::run`], on a thread that may block.
    pub(crate) async fn run_blocking<
        T: Send + 'static,
        E: Error + From<StorageError> + Send + 'static,
    >(
        &self,
        call: Call,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let calls = self.clone();
        let done = tokio::task::spawn_blocking(move || calls.run(call, work)).await;
        // The work was not begun because the runtime ends: a panic would have ended the process.
        done.map_err(|_| StorageError::ThreadEnded)?
    }

    /// Raises [`Fatal`] for an error that no single call has caused: a gap in the log, or an order
    /// that must not be followed.
    pub(crate) fn fail(&self, error: &StorageError) {
        // Work that was not begun because the runtime ends is no failure of storage.
        if !matches!(error, StorageError::ThreadEnded) {
            self.fatal.raise(&describe(error));
        }
    }

    /// Returns the fatal error, which is raised when storage has failed.
    pub(crate) const fn fatal(&self) -> &Fatal {
        &self.fatal
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests make calls fail")]
    const fn injected(&self, _call: Call) -> Option<StorageError> {
        None
    }

    #[cfg(test)]
    fn injected(&self, call: Call) -> Option<StorageError> {
        let is_faulty = *self.fault.lock() == Some(call);
        is_faulty.then(|| std::io::Error::other(format!("{call:?} fails")).into())
    }

    /// Makes one kind of call fail from now on.
    #[cfg(test)]
    pub(crate) fn inject(&self, call: Call) {
        *self.fault.lock() = Some(call);
    }

    /// Makes all calls succeed again.
    #[cfg(test)]
    pub(crate) fn mend(&self) {
        *self.fault.lock() = None;
    }
}

/// Formats the error with its causes.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
