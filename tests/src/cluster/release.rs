//! Releases whose programs masters and workers run.

use std::path::PathBuf;
use std::time::Duration;

use super::Cluster;
use crate::process::binary;

/// Time for a process to stop when it is asked: it ends by itself within 15 seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(14);
/// Variable that names the directory with the programs of the release before.
const BEFORE: &str = "CLOUDAI_OLD_RELEASE";

/// A release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Release {
    /// The one before, as it was built: `make upgrade-test` says how.
    Before,
    /// The one that is tested.
    #[default]
    This,
    /// The next one, which has a master only: see `tests/next`.
    Next,
}

impl Release {
    pub(super) fn master(self) -> PathBuf {
        match self {
            Self::Before => before("master"),
            Self::This => binary("master"),
            Self::Next => binary("next-master"),
        }
    }

    pub(super) fn worker(self) -> PathBuf {
        match self {
            Self::Before => before("worker"),
            Self::This | Self::Next => binary("worker"),
        }
    }
}

fn before(program: &str) -> PathBuf {
    let directory = std::env::var_os(BEFORE);
    let directory = directory.unwrap_or_else(|| panic!("{BEFORE} names no directory"));
    PathBuf::from(directory).join(program)
}

impl Cluster {
    /// Stops a master as an operator does, and starts it with the program of a release on the same
    /// data.
    pub async fn replace_program(&mut self, id: u64, release: Release) {
        let master = self.master_mut(id);
        master.terminate();
        let status = master.wait(STOP_PATIENCE).await;
        assert!(status.success(), "master {id} ended with {status}");
        self.start_program(id, release);
    }

    /// Starts a master that has ended with the program of a release.
    pub fn start_program(&mut self, id: u64, release: Release) {
        let master = self.master_mut(id);
        master.launch_mut().program = release.master();
        master.restart();
    }

    /// Stops a worker as an operator does, and starts it with the program of a release on the same
    /// data.
    pub async fn replace_worker_program(&mut self, name: &str, release: Release) {
        let worker = self.worker_mut(name).process();
        worker.terminate();
        let status = worker.wait(STOP_PATIENCE).await;
        assert!(status.success(), "{name} ended with {status}");
        worker.launch_mut().program = release.worker();
        worker.restart();
    }
}
