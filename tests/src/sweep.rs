//! Ends what a killed worker left running.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills every process whose working directory is inside `dir`: tasks run there unless they say
/// otherwise, and `dir` is one test's own.
pub(crate) fn kill_processes_in(dir: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let is_inside =
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        if let Some(pid) = pid.filter(|_| is_inside) {
            // It may have ended by itself meanwhile.
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
        }
    }
}
