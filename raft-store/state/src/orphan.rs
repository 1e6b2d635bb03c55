//! Orphaned results: ends of attempts that the state from which this generation continues did not know.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AttemptOutcome, AttemptRef, Epoch, LogIndex, OrphanId, Timestamp, WorkerId};

/// Bytes of an orphaned result beside its texts: its record and its places in the indexes.
const ORPHAN_BYTES: u64 = 256;

/// The end of an attempt that an earlier generation began after the position from which this one
/// continues. Nobody else in the cluster knows of it, so it is kept until an operator drops it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Its id, which rises.
    pub id: OrphanId,
    /// The worker that reported it.
    pub worker: WorkerId,
    /// Epoch of the worker's registration with which, or under which, it was reported.
    pub epoch: Epoch,
    /// The attempt.
    pub attempt: AttemptRef,
    /// The end that the worker reported.
    pub end: OrphanEnd,
    /// Time at which it was reported.
    pub reported_at: Timestamp,
    /// Number of the generation that found it.
    pub generation: u32,
    /// Log position of its last change.
    pub index: LogIndex,
}

impl Orphan {
    /// Returns the bytes of memory that it takes, by an account that never changes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let detail = match &self.end {
            OrphanEnd::Ended(
                AttemptOutcome::StartFailed { detail } | AttemptOutcome::WorkerUnfit { detail },
            ) => detail.len(),
            OrphanEnd::Ended(
                AttemptOutcome::Exited { .. }
                | AttemptOutcome::Signaled { .. }
                | AttemptOutcome::Lost(_),
            )
            | OrphanEnd::Stopped => 0,
        };
        // Widening conversions.
        ORPHAN_BYTES + self.worker.as_str().len() as u64 + detail as u64
    }
}

/// End of an attempt that nobody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrphanEnd {
    /// It ended by itself; a long text is cut.
    Ended(AttemptOutcome),
    /// The worker named it as running, or as ended with a result that was yet to come, and was told to
    /// stop it.
    Stopped,
}

impl OrphanEnd {
    /// Returns it with its text cut to that many bytes.
    pub(crate) fn cut(mut self, bytes_max: usize) -> Self {
        if let Self::Ended(
            AttemptOutcome::StartFailed { detail } | AttemptOutcome::WorkerUnfit { detail },
        ) = &mut self
        {
            detail.truncate(detail.floor_char_boundary(bytes_max));
        }
        self
    }
}

impl fmt::Display for OrphanEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(outcome) => outcome.fmt(f),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let detail = "ä".repeat(9);
        let end = OrphanEnd::Ended(AttemptOutcome::StartFailed { detail });
        let cut = OrphanEnd::Ended(AttemptOutcome::StartFailed { detail: "ää".to_owned() });
        assert_eq!(end.cut(5), cut);
        assert_eq!(OrphanEnd::Stopped.cut(5), OrphanEnd::Stopped);
    }
}
