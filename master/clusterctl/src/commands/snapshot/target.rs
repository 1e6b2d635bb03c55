//! A file that appears under its name when it is whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::is_standard;
use crate::failure::Failure;

/// Mode of a file with a backup.
const MODE: u32 = 0o600;

/// Destination of a backup. A file is removed when it is dropped before it is whole.
#[derive(Debug)]
pub(super) enum Target {
    StandardOutput,
    File(Staged),
}

/// A file beside the one that it will be.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    path: PathBuf,
    name: PathBuf,
    may_replace: bool,
}

impl Target {
    /// Creates it, unless something is in its place.
    pub(super) fn create(name: &Path, may_replace: bool) -> Result<Self, Failure> {
        if is_standard(name) {
            return Ok(Self::StandardOutput);
        }
        check_free(name, may_replace)?;
        let path = staged(name);
        // It holds everything that the cluster knows.
        let file = File::options().write(true).create(true).truncate(true).mode(MODE).open(&path);
        let file = file.map_err(unwritable(name))?;
        Ok(Self::File(Staged { file, path, name: name.to_owned(), may_replace }))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::StandardOutput => Ok(io::stdout().lock().write_all(bytes)?),
            Self::File(staged) => staged.file.write_all(bytes).map_err(unwritable(&staged.name)),
        }
    }

    /// Puts it in its place, durably.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::StandardOutput => Ok(io::stdout().lock().flush()?),
            Self::File(staged) => {
                check_free(&staged.name, staged.may_replace)?;
                staged.place().map_err(unwritable(&staged.name))
            }
        }
    }
}

impl Staged {
    fn place(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.name)?;
        let parent = self.name.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // It is gone when it is in its place; what cannot be removed is in nobody's way.
        drop(fs::remove_file(&self.path));
    }
}

fn check_free(name: &Path, may_replace: bool) -> Result<(), Failure> {
    if !may_replace && fs::symlink_metadata(name).is_ok() {
        return Err(Failure::FileExists { path: name.to_owned() });
    }
    Ok(())
}

/// Returns the name beside the file, under which it is written.
fn staged(name: &Path) -> PathBuf {
    let mut staged = name.as_os_str().to_owned();
    staged.push(format!(".{}.partial", std::process::id()));
    staged.into()
}

fn unwritable(name: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
    let path = name.to_owned();
    move |source| Failure::WriteFile { path, source }
}
