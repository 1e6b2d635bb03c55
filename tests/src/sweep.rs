//! Ends what processes under test left running.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A directory of one test; whoever works in it or was started for it ends with it.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("cloudai-").tempdir().unwrap() }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory where it is, for somebody to look into.
    pub fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Ok(processes) = fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let pid = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            if let Some(pid) = pid.filter(|_| belongs_to(&process.path(), self.dir.path())) {
                // It may have ended by itself meanwhile.
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
            }
        }
    }
}

/// Tasks run inside of it unless they say otherwise; masters and workers have it among their
/// arguments.
fn belongs_to(process: &Path, dir: &Path) -> bool {
    let is_inside = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    is_inside || String::from_utf8_lossy(&arguments).contains(&dir.display().to_string())
}
