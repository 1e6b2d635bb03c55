//! File operations that are complete or absent after a crash.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes changes of a directory (files created, renamed, removed) durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    #[cfg(test)]
    trace::note(trace::Deed::Synced, path);
    Ok(())
}

/// Replaces a file: after a crash it holds either the old bytes or the new ones.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = path.with_extension("new");
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Removes a directory with its content, if it exists.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    trace::note(trace::Deed::Removed, path);
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Copies the files of a database, durably. Those that never change are linked where that is possible.
pub(crate) fn copy_database(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let source = entry?.path();
        let target = to.join(source.file_name().unwrap_or_default());
        if !is_fixed(&source) || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    sync_dir(to)
}

/// Makes a database to look into, of the files of another one. Those that never change are symbolic
/// links, which work between disks, too, so little is copied wherever it is.
pub(crate) fn borrow_database(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(fs::canonicalize(from)?)? {
        let source = entry?.path();
        let target = to.join(source.file_name().unwrap_or_default());
        if is_fixed(&source) {
            std::os::unix::fs::symlink(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Returns true for files of a database that never change.
fn is_fixed(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "sst")
}

/// Reads a file that need not exist.
pub(crate) fn read_if_present(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A directory that can be given up while it is in use: it is removed when its last user is done.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    is_given_up: AtomicBool,
}

impl Directory {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, is_given_up: AtomicBool::new(false) }
    }

    /// Creates a directory that is removed after its last user.
    pub(crate) const fn temporary(path: PathBuf) -> Self {
        Self { path, is_given_up: AtomicBool::new(true) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a temporary directory.
    pub(crate) fn keep(&self) {
        self.is_given_up.store(false, Ordering::Release);
    }

    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_given_up.load(Ordering::Acquire)
            && let Err(error) = remove_dir(&self.path)
        {
            // The next start removes the remains.
            tracing::warn!(path = %self.path.display(), %error, "cannot remove directory");
        }
    }
}

/// Records the syncs and removals of paths, each with its thread: they leave no other trace that a
/// test could see.
#[cfg(test)]
pub(crate) mod trace {
    use std::path::{Path, PathBuf};
    use std::thread::ThreadId;

    use parking_lot::Mutex;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Deed {
        Synced,
        Removed,
    }

    static DONE: Mutex<Vec<(Deed, PathBuf, ThreadId)>> = Mutex::new(Vec::new());

    pub(super) fn note(deed: Deed, path: &Path) {
        DONE.lock().push((deed, path.to_owned(), std::thread::current().id()));
    }

    /// Returns the threads of an operation, in order.
    pub(crate) fn threads_of(deed: Deed, path: &Path) -> Vec<ThreadId> {
        let done = DONE.lock();
        let same = done.iter().filter(|(other, at, _)| *other == deed && at == path);
        same.map(|(_, _, thread)| *thread).collect()
    }
}
