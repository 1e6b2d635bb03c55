//! Sends a backup of the state, from whichever master is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use proto::problem::{ErrorKind, Problem};
use raft_store::Backup;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Operations;
use crate::refusal;

/// Backups that may be under way on one master: each holds a checkpoint, and reads all of it.
const BACKUPS_MAX: usize = 2;

/// Time that a reader may leave data unread before it is given up: until then it holds a checkpoint
/// on the disk.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// The bytes of a backup's file. What ends without the backup's own end is not whole.
pub(crate) type BackupStream = BoxStream<'static, Result<Bytes, Problem>>;

/// Returns the places of backups that are under way.
pub(super) fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(BACKUPS_MAX))
}

impl Operations {
    /// Takes a backup that holds everything that was acknowledged before the call.
    pub(crate) async fn save_snapshot(&self) -> Result<BackupStream, Problem> {
        let slot = Arc::clone(&self.shared.backup_slots).try_acquire_owned().map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "too many backups are being sent by this master")
        })?;
        let backup = self.node().take_backup().await.map_err(|error| {
            tracing::warn!(%error, "cannot take a backup");
            refusal::of_backup(&error)
        })?;
        let (pieces, inlet) = mpsc::channel(1);
        self.send_backup(slot, backup, pieces);
        Ok(drain(inlet).boxed())
    }

    /// Reads for as long as somebody takes it.
    fn send_backup(
        &self,
        slot: OwnedSemaphorePermit,
        backup: Backup,
        pieces: mpsc::Sender<Result<Option<Bytes>, Problem>>,
    ) {
        let stopping = self.stopping().clone();
        self.shared.tasks.spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = pump(backup, &pieces) => {}
                () = pieces.closed() => {}
                () = stopping.cancelled() => {
                    let problem = Problem::new(ErrorKind::NotLeader, "this master is stopping");
                    pieces.send_timeout(Err(problem), READER_PATIENCE).await.ok();
                }
            }
        });
    }
}

async fn pump(mut backup: Backup, pieces: &mpsc::Sender<Result<Option<Bytes>, Problem>>) {
    loop {
        let piece = backup.next().await.map_err(|error| {
            tracing::warn!(%error, "cannot read a backup");
            Problem::new(ErrorKind::Internal, format!("the backup cannot be read: {error}"))
        });
        let is_last = !matches!(piece, Ok(Some(_)));
        let taken = pieces.send_timeout(piece, READER_PATIENCE).await;
        if is_last || taken.is_err() {
            return;
        }
    }
}

/// Returns the stream for the reader. A writer that has given up did not send the end.
fn drain(
    inlet: mpsc::Receiver<Result<Option<Bytes>, Problem>>,
) -> impl futures_util::Stream<Item = Result<Bytes, Problem>> {
    stream::unfold(Some(inlet), |inlet| async move {
        let mut inlet = inlet?;
        match inlet.recv().await {
            Some(Ok(Some(bytes))) => Some((Ok(bytes), Some(inlet))),
            Some(Ok(None)) => None,
            Some(Err(problem)) => Some((Err(problem), None)),
            None => {
                let detail = "nothing of the backup was taken for too long";
                Some((Err(Problem::new(ErrorKind::Timeout, detail)), None))
            }
        }
    })
}
