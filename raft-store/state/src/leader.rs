//! Records of leadership.

use serde::{Deserialize, Serialize};

use crate::{LogIndex, MasterId, Term, Timestamp};

/// One term of leadership, recorded by the barrier entry that its leader commits first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The term led.
    pub term: Term,
    /// The master that led it.
    pub leader: MasterId,
    /// Time at which its barrier entry was proposed.
    pub since: Timestamp,
    /// Position of that entry.
    pub index: LogIndex,
}
