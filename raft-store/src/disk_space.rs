//! Room on the disk that holds the data directory: how much there is, and a reserve of it that lets
//! a master start whose disk is full.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;
use tokio_util::sync::CancellationToken;

use crate::error::OpenError;
use crate::{calls, files};

/// Interval between checks of the free space. A disk fills by some hundred megabytes a second at
/// most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Factor of free space to the reserve's size from which the reserve is created again.
const ROOM_FOR_RESERVE: u64 = 4;

/// Returns the bytes that are free for this process at a path, if the system tells.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = statvfs(path).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Free space at the last check; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct DiskSpace {
    path: Arc<Path>,
    /// The greatest number while it is unknown.
    free: Arc<AtomicU64>,
}

impl DiskSpace {
    pub(crate) fn of(path: &Path) -> Self {
        let space = Self { path: path.into(), free: Arc::new(AtomicU64::new(u64::MAX)) };
        space.measure();
        space
    }

    fn measure(&self) {
        self.free.store(free_bytes(&self.path).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Returns the free bytes, if known.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Acquire)).filter(|free| *free != u64::MAX)
    }

    /// Checks the space repeatedly. A disk that does not answer leaves the last figure.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let space = self.clone();
            if tokio::task::spawn_blocking(move || space.measure()).await.is_err() {
                return;
            }
        }
    }
}

/// A file that reserves space.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(crate) const fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Releases the space if `error` may be caused by a full disk; returns true if there was any.
    pub(crate) fn release_for(&self, error: &OpenError) -> bool {
        let causes = calls::describe(error);
        let is_about_room = causes.contains("No space left") || causes.contains("Disk quota");
        let is_released = is_about_room && fs::remove_file(&self.path).is_ok();
        if is_released {
            let bytes = self.bytes;
            tracing::warn!(
                bytes,
                "the disk is full: the reserve is given up so that this master starts"
            );
        }
        is_released
    }

    /// Reserves the space, if enough remains. A master runs without it, too.
    pub(crate) fn keep(&self) {
        if self.bytes == 0 {
            return;
        }
        if let Err(error) = self.make() {
            tracing::warn!(%error, "cannot reserve space for starting on a full disk");
        }
    }

    fn make(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes) {
            return Ok(());
        }
        let directory = self.path.parent().unwrap_or(&self.path);
        let needed = self.bytes.saturating_mul(ROOM_FOR_RESERVE);
        if free_bytes(directory).is_some_and(|free| free < needed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = File::create(&self.path)?;
        let bytes = i64::try_from(self.bytes).map_err(io::Error::other)?;
        fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
        file.sync_all()?;
        files::sync_dir(directory)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn no_room() -> OpenError {
        OpenError::io("data")(io::Error::from_raw_os_error(28))
    }

    #[test]
    fn a_reserve_takes_room_until_it_is_needed() {
        let home = TempDir::new().unwrap();
        let reserve = Reserve::new(home.path().join("reserve"), 1 << 20);
        reserve.keep();
        reserve.keep();
        assert_eq!(fs::metadata(home.path().join("reserve")).unwrap().len(), 1 << 20);

        assert!(!reserve.release_for(&OpenError::Foreign(home.path().to_owned())));
        assert!(reserve.release_for(&no_room()));
        assert!(!home.path().join("reserve").exists());
        assert!(!reserve.release_for(&no_room()), "there is nothing left to give up");
    }

    #[test]
    fn no_reserve_is_made_where_it_would_be_most_of_the_room() {
        let home = TempDir::new().unwrap();

        Reserve::new(home.path().join("reserve"), 1 << 60).keep();
        Reserve::new(home.path().join("reserve"), 0).keep();

        assert!(!home.path().join("reserve").exists());
    }

    #[test]
    fn the_room_is_known_where_there_is_a_directory() {
        let home = TempDir::new().unwrap();

        assert!(DiskSpace::of(home.path()).free_bytes().is_some());
        assert_eq!(DiskSpace::of(&home.path().join("nowhere")).free_bytes(), None);
    }
}
