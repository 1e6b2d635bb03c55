//! The states of an attempt between its start and the moment when its end is on disk.

use cluster_state::{LossReason, OnDisconnect};

/// State of an attempt that is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// It waits for room: there is no process yet.
    Waiting(OnDisconnect),
    /// Its process runs, as far as the ledger knows.
    Running(OnDisconnect),
    /// The worker has killed it because it lost contact with the leader. It stays in snapshots
    /// until it has ended, and is reported as lost then.
    Fenced(LossReason),
    /// It has ended; its outcome is on the way to disk.
    Storing,
    /// The worker stops it because it shuts down: unless it succeeds, its end says nothing about
    /// the task, and the leader need not be told.
    Leaving(OnDisconnect),
    /// The worker stops it because it was dismissed: nobody wants its result.
    Abandoned(OnDisconnect),
}

impl Live {
    /// Returns true while the attempt may have a process.
    pub(super) const fn has_process(self) -> bool {
        match self {
            Self::Running(_) | Self::Fenced(_) | Self::Leaving(_) | Self::Abandoned(_) => true,
            Self::Waiting(_) | Self::Storing => false,
        }
    }
}
