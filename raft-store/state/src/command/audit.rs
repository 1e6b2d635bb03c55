//! Commands about the trail.

use serde::{Deserialize, Serialize};

use super::Command;
use crate::{Actor, AuditAction, AuditOutcome, LogIndex, Term};

/// See [`crate::Command::Ordered`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The one who gave the order.
    pub by: Actor,
    /// The command itself, which is an order and is not ordered once more.
    pub command: Box<Command>,
}

/// See [`crate::Command::NoteOrder`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteOrder {
    /// The kind of order.
    pub action: AuditAction,
    /// The thing that it is about.
    pub object: String,
    /// Further particulars; may be empty.
    pub detail: String,
    /// The effect that it had.
    pub outcome: AuditOutcome,
}

/// See [`crate::Command::PruneTrail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneTrail {
    /// The leader's term.
    pub term: Term,
    /// The last record to forget.
    pub up_to: LogIndex,
}
