//! Commands about orphaned results.

use serde::{Deserialize, Serialize};

use crate::OrphanId;

/// See [`crate::Command::DropOrphans`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropOrphans {
    /// The results to drop.
    pub selection: OrphanSelection,
}

/// Selects orphaned results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrphanSelection {
    /// These; all of them must be there.
    These(Vec<OrphanId>),
    /// All that were found up to this one: later ones have not been seen by who drops them.
    UpTo(OrphanId),
}
