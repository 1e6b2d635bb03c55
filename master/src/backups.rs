//! Saves backups into a directory from time to time, and removes the oldest of them.

mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::Timestamp;
use futures_util::StreamExt;
use proto::problem::Problem;
use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use self::shelf::Shelf;
use crate::config::BackupConfig;
use crate::metrics::Metrics;
use crate::operations::Operations;

/// Pause after a failure. The cluster may have no leader, or the disk no room, for a while.
const PAUSE: Duration = Duration::from_secs(60);
/// Longest sleep: the wall clock, which tells when the next one is due, may be set.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Reason that a backup was not saved.
#[derive(Debug, thiserror::Error)]
enum Unsaved {
    #[error("{0}")]
    Problem(Problem),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// Saves the backups of one master. Each master that has a directory does so, because two directories
/// on two machines are better than one.
#[derive(Debug)]
pub(crate) struct ScheduledBackups {
    operations: Operations,
    metrics: Metrics,
    interval: Duration,
    shelf: Arc<Shelf>,
}

impl ScheduledBackups {
    /// Returns none when there is no directory for them.
    pub(crate) fn new(
        config: &BackupConfig,
        operations: Operations,
        metrics: Metrics,
    ) -> Option<Self> {
        if config.directory.as_os_str().is_empty() {
            return None;
        }
        metrics.set_backup_interval(config.interval);
        let keep = usize::try_from(config.keep).unwrap_or(usize::MAX);
        let shelf = Arc::new(Shelf::new(config.directory.clone(), operations.node().id(), keep));
        Some(Self { operations, metrics, interval: config.interval, shelf })
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        // While there is no backup, its age counts from now on.
        let mut saved_at = self.newest().await;
        self.metrics.on_backup_saved(saved_at.unwrap_or_else(|| self.now()));
        loop {
            let due_in = saved_at.map_or(Duration::ZERO, |saved_at| {
                self.interval.saturating_sub(self.now().since(saved_at))
            });
            let pause = if due_in.is_zero() {
                match self.save(&stop).await {
                    Ok(Some(at)) => {
                        saved_at = Some(at);
                        self.metrics.on_backup_saved(at);
                        continue;
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "cannot save a backup");
                        self.metrics.on_backup_failed();
                        PAUSE
                    }
                }
            } else {
                due_in.min(SLEEP_MAX)
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.operations.node().clock().wall()
    }

    async fn newest(&self) -> Option<Timestamp> {
        let shelf = Arc::clone(&self.shelf);
        tokio::task::spawn_blocking(move || shelf.newest()).await.ok().flatten()
    }

    /// Saves one backup, and returns the time at which it began; none when the master stops.
    async fn save(&self, stop: &CancellationToken) -> Result<Option<Timestamp>, Unsaved> {
        let at = self.now();
        let path = self.shelf.path(at);
        let staged = path.with_extension("partial");
        let unwritten = |source| Unsaved::File { path: path.clone(), source };
        fs::create_dir_all(self.shelf.directory()).await.map_err(unwritten)?;

        let written = tokio::select! {
            () = stop.cancelled() => None,
            written = self.write(&staged) => Some(written),
        };
        let Some(Ok(bytes)) = written else {
            // The next one takes another name, and removes what cannot be removed now.
            fs::remove_file(&staged).await.ok();
            return written.transpose().map(|_| None);
        };
        fs::rename(&staged, &path).await.map_err(unwritten)?;
        let directory = fs::File::open(self.shelf.directory()).await.map_err(unwritten)?;
        directory.sync_all().await.map_err(unwritten)?;
        tracing::info!(path = %path.display(), bytes, "backup saved");

        let shelf = Arc::clone(&self.shelf);
        let cleared = tokio::task::spawn_blocking(move || shelf.clear()).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "cannot remove old backups");
        }
        Ok(Some(at))
    }

    async fn write(&self, staged: &Path) -> Result<u64, Unsaved> {
        let unwritten = |source| Unsaved::File { path: staged.to_owned(), source };
        let mut pieces = self.operations.save_snapshot().await.map_err(Unsaved::Problem)?;
        let mut file = fs::File::create(staged).await.map_err(unwritten)?;
        let mut bytes: u64 = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Unsaved::Problem)?;
            file.write_all(&piece).await.map_err(unwritten)?;
            bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        file.sync_all().await.map_err(unwritten)?;
        Ok(bytes)
    }
}
