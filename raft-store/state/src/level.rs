//! Feature levels: what every member of a cluster can read and do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A feature level. A cluster has one; it starts with the level of its first binary, and rises when
/// every member runs a binary that knows the next one. It never falls.
///
/// Each encoding, each command and each rule by which [`crate::State::apply`] decides belongs to
/// the level that introduced it: two binaries of different releases come to the same verdict as
/// long as they branch on the cluster's level and never on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Level(pub u8);

impl Level {
    /// The level of the first release.
    pub const FIRST: Self = Self(1);
    /// The highest level that this binary knows.
    pub const NEWEST: Self = Self(2);
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
