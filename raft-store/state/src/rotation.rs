//! The change of a cluster's authority: both are trusted for a while, and one of them issues.

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, LogIndex, Timestamp};

/// Root of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRecord {
    /// SHA-256 of its certificate.
    pub digest: Fingerprint,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// An authority of a rotation. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    /// The root that has signed the issuer's certificate.
    pub root: RootRecord,
    /// The issuer's certificate in PEM.
    pub certificate: String,
    /// SHA-256 of that certificate.
    pub digest: Fingerprint,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Certificates that everybody trusts once the other authority is gone, in PEM.
    pub roots: String,
    /// Proof, in PEM, for those who trust the other authority alone: its issuer has certified the key of
    /// this root.
    pub endorsement: String,
}

/// Part of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RotationPhase {
    /// Everybody learns to trust both; the authority before issues.
    Trusting,
    /// The authority after issues, and everybody gets a certificate from it.
    Issuing,
}

impl RotationPhase {
    /// Returns the name, which never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trusting => "trusting",
            Self::Issuing => "issuing",
        }
    }
}

/// A change of the authority that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Log position of its begin, or of the order to go back after the other one had issued. It names the
    /// change and its direction.
    pub id: LogIndex,
    /// Part that it is in.
    pub phase: RotationPhase,
    /// The authority that will be gone.
    pub from: AuthorityRecord,
    /// The one that will be left.
    pub to: AuthorityRecord,
}

impl Rotation {
    /// Returns the authority that issues, and the other one.
    #[must_use]
    pub const fn issuing(&self) -> (&AuthorityRecord, &AuthorityRecord) {
        match self.phase {
            RotationPhase::Trusting => (&self.from, &self.to),
            RotationPhase::Issuing => (&self.to, &self.from),
        }
    }
}
