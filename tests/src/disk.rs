//! A disk of its own for one master: an ext4 file system in a file, whose power can be cut.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Takes the space that a test takes away.
const FILLER: &str = "filler";
/// `FS_IOC_GOINGDOWN` with `NOLOGFLUSH` (Linux, `include/uapi/linux/fs.h`): from here on nothing
/// reaches the disk any more, not even the journal that is in memory.
const CUT_POWER: &str = r#"
open(my $dir, "<", $ARGV[0]) or die "$ARGV[0]: $!"; my $how = pack("L", 2);
ioctl($dir, 0x8004587d, $how) or die "ioctl: $!";
"#;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    path: PathBuf,
}

impl Disk {
    /// Makes one of so many MiB and mounts it at `path`.
    ///
    /// # Errors
    ///
    /// With the reason, where nothing can be mounted.
    pub fn mount(path: &Path, mebibytes: u64) -> Result<Self, String> {
        let image = path.with_extension("img");
        fs::create_dir_all(path).map_err(|error| error.to_string())?;
        File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let disk = Self { image, path: path.to_owned() };
        disk.attach()?;
        Ok(disk)
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cuts the power: what was not synced is gone. Whoever uses the disk must be frozen before
    /// and killed afterwards, before [`Self::power_on`].
    pub fn cut_power(&self) {
        run(Command::new("perl").arg("-e").arg(CUT_POWER).arg(&self.path)).unwrap();
    }

    /// Mounts it again, which replays its journal.
    pub fn power_on(&self) {
        run(Command::new("umount").arg(&self.path)).unwrap();
        self.attach().unwrap();
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let mut filler = File::create(self.path.join(FILLER)).unwrap();
        for size in [1 << 20, 4_096, 1] {
            let bytes = vec![0_u8; size];
            while filler.write_all(&bytes).is_ok() {}
        }
        // Allocated when it is written, not when it is asked for.
        filler.sync_all().ok();
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.path.join(FILLER)).unwrap();
    }

    fn attach(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process may still have files open there.
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.path)) {
            eprintln!("still mounted: {}: {error}", self.path.display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
