//! Tries two things that every task needs: writing a file and starting a process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::process::Command;
use tokio::time::timeout;

use crate::leftovers::Leftovers;
use crate::processes::Children;

/// Longer than any working machine takes to start a process that does nothing.
const START_PATIENCE: Duration = Duration::from_secs(10);
const SHELL: &str = "/bin/sh";
/// A program to start on trial, and its directory.
#[derive(Debug)]
pub(crate) struct Probe {
    data_dir: PathBuf,
    children: Arc<Children>,
    /// Leftovers of earlier starts that could not be ended so far.
    leftovers: Mutex<Option<Leftovers>>,
}

impl Probe {
    /// Creates a probe of the disk of this directory.
    pub(crate) const fn new(
        data_dir: PathBuf,
        children: Arc<Children>,
        leftovers: Option<Leftovers>,
    ) -> Self {
        Self { data_dir, children, leftovers: Mutex::new(leftovers) }
    }

    /// Ends the leftovers of earlier starts, if that failed before, and writes a file. It blocks.
    pub(super) fn try_disk(&self) -> Result<(), String> {
        let mut leftovers = self.leftovers.lock();
        if let Some(left) = &mut *leftovers {
            left.end(Duration::ZERO).map_err(|error| error.to_string())?;
            *leftovers = None;
        }
        drop(leftovers);

        for parent in ["tasks", "logs"] {
            let dir = self.data_dir.join(parent);
            write_and_remove(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        Ok(())
    }

    /// Starts a process that does nothing, in the same way as a task's.
    pub(super) async fn try_process(&self) -> Result<(), String> {
        let mut command = if Path::new(SHELL).exists() {
            let mut command = Command::new("sh");
            command.args(["-c", ":"]);
            command
        } else {
            let mut command = Command::new("/proc/self/exe");
            command.arg("--version");
            command
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let failed = |reason: String| format!("cannot start processes: {reason}");

        let started = self.children.start(|| command.spawn());
        let (mut child, id) = started.map_err(|error| failed(error.to_string()))?;
        let ended = timeout(START_PATIENCE, child.wait()).await;
        self.children.forget(id);
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(status.to_string())),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("one that does nothing does not end".to_owned())),
        }
    }
}

fn write_and_remove(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let path = dir.join("trial");
    fs::write(&path, [0; 4 << 10])?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(dir: &Path) -> Probe {
        Probe::new(dir.to_owned(), Arc::new(Children::aside()), None)
    }

    #[tokio::test]
    async fn a_machine_that_works_passes() {
        let dir = tempfile::tempdir().unwrap();
        let probe = probe(dir.path());
        assert_eq!(probe.try_disk(), Ok(()));
        assert_eq!(probe.try_process().await, Ok(()));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tasks"), "").unwrap();
        let failed = probe(dir.path()).try_disk().unwrap_err();
        assert!(failed.contains("/tasks: "), "{failed}");
    }
}
