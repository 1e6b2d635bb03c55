//! A small disk that can be filled.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file that takes all the space.
const FILLER: &str = "filler";

/// A file system in memory, mounted until it is dropped.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
}

impl Volume {
    /// Mounts one of so many MiB at `path`, which must be an empty directory.
    ///
    /// # Errors
    ///
    /// With the reason, where nothing can be mounted.
    pub fn mount(path: &Path, mebibytes: u32) -> Result<Self, String> {
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path);
        let output = mount.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Takes the space that is left, but for so many MiB.
    pub fn fill_but(&self, mebibytes: u64) {
        let found = nix::sys::statvfs::statvfs(&self.path).unwrap();
        let free = found.blocks_available() * found.fragment_size();
        let taken = (free >> 20).saturating_sub(mebibytes);
        let mut filler = fs::File::create(self.path.join(FILLER)).unwrap();
        for _ in 0..taken {
            filler.write_all(&vec![0_u8; 1 << 20]).unwrap();
        }
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let mut filler = fs::File::create(self.path.join(FILLER)).unwrap();
        for size in [1 << 20, 4_096, 1] {
            let bytes = vec![0_u8; size];
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.path.join(FILLER)).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a process may still have files open there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("still mounted: {}", self.path.display());
        }
    }
}
