//! Guards the room on the disk of the data directory: a reserve is given up so that results can
//! still be stored when the disk is full, and below a low-water mark the worker takes on nothing.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;
use parking_lot::{Mutex, MutexGuard};
use tracing::{info, warn};

const RESERVE_FILE: &str = "reserve";
/// Room for the results of ten thousand attempts with long failure reports.
pub(crate) const RESERVE_BYTES: u64 = 16 << 20;

/// The disk that holds the data directory.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    /// Free space below which it counts as full.
    low_water_bytes: u64,
    reserve: Mutex<Reserve>,
}

/// Room left on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Enough to take on work.
    Enough,
    /// Too little for more work; enough to finish the present work.
    Low,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    Held,
    /// Will be filled again as soon as there is room.
    GivenUp,
    /// The file system does not support reserving.
    Impossible,
}

/// An error that may mean that the disk is full.
pub(crate) trait OutOfSpace {
    /// Returns true if the error means that the disk is full.
    fn is_out_of_space(&self) -> bool;
}

impl OutOfSpace for io::Error {
    fn is_out_of_space(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl Disk {
    /// Reserves room in `dir`, as far as there is any.
    pub(crate) fn open(dir: &Path, low_water_bytes: u64) -> Self {
        let reserve = Mutex::new(Reserve::GivenUp);
        let disk = Self { dir: dir.to_owned(), low_water_bytes, reserve };
        disk.fill(&mut disk.reserve());
        disk
    }

    /// Performs a write. If the disk is full, the reserve is given up and the write is repeated.
    pub(crate) fn writing<T, E: OutOfSpace>(
        &self,
        mut write: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        match write() {
            Err(error) if error.is_out_of_space() && self.give_up_reserve() => write(),
            written => written,
        }
    }

    /// Measures the room, and fills the reserve again when there is enough.
    pub(crate) fn room(&self) -> Room {
        let mut reserve = self.reserve();
        let free = self.free_bytes();
        let is_plenty = free >= self.low_water_bytes.saturating_add(RESERVE_BYTES);
        if *reserve == Reserve::GivenUp && is_plenty {
            self.fill(&mut reserve);
        }
        if free < self.low_water_bytes || *reserve == Reserve::GivenUp {
            Room::Low
        } else {
            Room::Enough
        }
    }

    /// Removes the reserve, and returns true if that made room.
    fn give_up_reserve(&self) -> bool {
        let mut reserve = self.reserve();
        if *reserve != Reserve::Held {
            return false;
        }
        match fs::remove_file(self.dir.join(RESERVE_FILE)) {
            Ok(()) => {
                warn!(bytes = RESERVE_BYTES, "the disk is full: the reserve is given up");
                *reserve = Reserve::GivenUp;
                true
            }
            Err(error) => {
                warn!(%error, "the disk is full, and the reserve cannot be given up");
                false
            }
        }
    }

    fn fill(&self, reserve: &mut Reserve) {
        let path = self.dir.join(RESERVE_FILE);
        match allocate(&path) {
            Ok(()) => *reserve = Reserve::Held,
            Err(error) => {
                // Half a reserve would only take room from others.
                fs::remove_file(&path).unwrap_or_default();
                if error.is_out_of_space() {
                    info!("no room for the reserve");
                } else {
                    warn!(%error, "no room can be reserved");
                    *reserve = Reserve::Impossible;
                }
            }
        }
    }

    /// Returns the free space; a disk that does not tell does not count as full.
    fn free_bytes(&self) -> u64 {
        statvfs(&self.dir)
            .map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()))
    }

    fn reserve(&self) -> MutexGuard<'_, Reserve> {
        self.reserve.lock()
    }
}

fn allocate(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
    let bytes = i64::try_from(RESERVE_BYTES).map_err(io::Error::other)?;
    posix_fallocate(&file, 0, bytes).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: io::ErrorKind = io::ErrorKind::StorageFull;

    #[test]
    fn a_write_that_finds_the_disk_full_gets_the_reserve_once() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 0);
        let reserve = dir.path().join(RESERVE_FILE);
        assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES);
        assert_eq!(disk.room(), Room::Enough);

        let mut tries = 0;
        let written = disk.writing(|| {
            tries += 1;
            if reserve.exists() { Err(io::Error::from(FULL)) } else { Ok(()) }
        });
        assert!(written.is_ok() && tries == 2, "{written:?} after {tries}");

        let again = disk.writing(|| Err::<(), _>(io::Error::from(FULL)));
        assert_eq!(again.unwrap_err().kind(), FULL);
    }

    #[test]
    fn only_a_full_disk_costs_the_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 0);
        let denied = io::ErrorKind::PermissionDenied;
        disk.writing(|| Err::<(), _>(io::Error::from(denied))).unwrap_err();
        assert!(dir.path().join(RESERVE_FILE).exists());
    }

    #[test]
    fn the_reserve_is_filled_again_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 0);
        assert!(disk.give_up_reserve());
        assert_eq!(disk.room(), Room::Enough);
        assert!(dir.path().join(RESERVE_FILE).exists());
    }

    #[test]
    fn a_disk_with_less_than_the_mark_is_low() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Disk::open(dir.path(), u64::MAX).room(), Room::Low);
    }
}
