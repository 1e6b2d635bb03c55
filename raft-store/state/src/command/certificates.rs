//! Commands about certificates.

use serde::{Deserialize, Serialize};

use crate::{
    AuthorityRecord, Fingerprint, HolderId, LogIndex, Serial, ShownCertificate, Timestamp, TokenId,
    WorkerId,
};

/// See [`crate::Command::AdoptIssuer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptIssuer {
    /// Certificates that everybody trusts, in PEM.
    pub roots: String,
    /// The issuer's certificate in PEM.
    pub certificate: String,
    /// SHA-256 of that certificate.
    pub digest: Fingerprint,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// See [`crate::Command::IssueCertificate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueCertificate {
    /// The holder.
    pub holder: HolderId,
    /// SHA-256 of the issuer's certificate.
    pub issuer: Fingerprint,
    /// Serial number, which the proposer has drawn.
    pub serial: Serial,
    /// SHA-256 of the public key.
    pub key: Fingerprint,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Reason that the holder may have it.
    pub grounds: Grounds,
}

/// Reason that a holder may have a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grounds {
    /// It holds this certificate.
    Certificate(ShownCertificate),
    /// It presents this join token, whose secret the proposer has checked. The digest tells the token
    /// from another one of the same name.
    JoinToken { token: TokenId, digest: Fingerprint },
}

/// See [`crate::Command::RevokeCertificates`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeCertificates {
    /// The holder.
    pub holder: HolderId,
}

/// See [`crate::Command::ForgetWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetWorker {
    /// The worker.
    pub worker: WorkerId,
    /// True to forget it although it is active.
    pub force: bool,
}

/// See [`crate::Command::RotateAuthority`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateAuthority {
    /// The step to take.
    pub step: RotationStep,
}

/// Step of a rotation. Those after the first name it by the log position of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RotationStep {
    /// Trust another authority as well.
    Begin(Box<BeginRotation>),
    /// Have the other one issue.
    Issue { rotation: LogIndex },
    /// Trust the one before no longer.
    Finish { rotation: LogIndex },
    /// Go back to the one before.
    Abort { rotation: LogIndex },
}

impl RotationStep {
    /// Returns the name, which never changes.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Issue { .. } => "proceed",
            Self::Finish { .. } => "finish",
            Self::Abort { .. } => "abort",
        }
    }
}

/// See [`RotationStep::Begin`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginRotation {
    /// Certificates that everybody trusts meanwhile, in PEM.
    pub roots: String,
    /// The authority that issues now, as the proposer has seen it.
    pub from: AuthorityRecord,
    /// The one to come.
    pub to: AuthorityRecord,
}
