//! Releases whose programs the masters of a cluster run.

use std::time::Duration;

use super::Cluster;
use crate::process::binary;

/// A master that is asked to stop ends by itself within 15 seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(14);

/// A release of the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The one that is tested.
    This,
    /// The next one: see `tests/next`.
    Next,
}

impl Release {
    const fn program(self) -> &'static str {
        match self {
            Self::This => "master",
            Self::Next => "next-master",
        }
    }
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
        master.launch_mut().program = binary(release.program());
        master.restart();
    }
}
