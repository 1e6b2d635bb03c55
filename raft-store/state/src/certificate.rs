//! Certificates: the issuer that the cluster has adopted, and those to whom it issued some. The state
//! holds nothing secret: the issuer's key lies in a file of each master.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AuthorityRecord, Fingerprint, InvalidId, Level, LogIndex, MasterId, RootRecord, Rotation,
    Timestamp, WorkerId,
};

/// Longest name of a holder in bytes, as of a worker.
const NAME_BYTES_MAX: usize = 253;
/// Roles of holders, as they stand in certificates.
const ROLES: [&str; 6] = ["master", "worker", "viewer", "submitter", "operator", "admin"];

/// Serial number of a certificate that the cluster issued; others may have shorter or longer ones.
pub type Serial = [u8; 16];

/// Holder of certificates: `ROLE/NAME`, the path of its SPIFFE id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HolderId(Arc<str>);

impl HolderId {
    /// Returns the holder as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names a worker.
    #[must_use]
    pub fn of_worker(worker: &WorkerId) -> Self {
        Self(format!("worker/{worker}").into())
    }

    /// Names a master.
    #[must_use]
    pub fn of_master(master: MasterId) -> Self {
        Self(format!("master/{master}").into())
    }

    /// Returns the worker, if it is one.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        self.0.strip_prefix("worker/")?.parse().ok()
    }
}

impl FromStr for HolderId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(is_word)
        };
        match text.split_once('/') {
            Some((role, name)) if ROLES.contains(&role) && is_name(name) => Ok(Self(text.into())),
            Some(_) | None => Err(InvalidId::holder(text)),
        }
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HolderId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<HolderId> for String {
    fn from(id: HolderId) -> Self {
        id.as_str().to_owned()
    }
}

/// The issuer that the cluster has adopted, and what is trusted. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerRecord {
    /// Certificates that everybody trusts, in PEM.
    pub roots: String,
    /// The issuer's certificate in PEM.
    pub certificate: String,
    /// SHA-256 of that certificate.
    pub digest: Fingerprint,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Time at which the cluster adopted it.
    pub adopted_at: Timestamp,
    /// Log position of the last change of the record.
    pub index: LogIndex,
    /// Change of the authority that is under way.
    pub rotation: Option<Box<Rotation>>,
    /// Roots that count no longer, although files of masters and workers may hold them.
    pub dropped: Vec<RootRecord>,
}

impl IssuerRecord {
    /// Level from which on a cluster issues certificates.
    pub const LEVEL: Level = Level(2);

    /// Returns the roots that count no longer, whatever files say.
    pub fn dropped_roots(&self) -> impl Iterator<Item = &RootRecord> {
        let is_back = |dropped: &RootRecord| {
            let rotation = self.rotation.as_ref();
            rotation.is_some_and(|rotation| {
                [&rotation.from, &rotation.to].iter().any(|one| one.root.digest == dropped.digest)
            })
        };
        self.dropped.iter().filter(move |dropped| !is_back(dropped))
    }

    /// Returns true if what is trusted is more, or less, than what was adopted.
    #[must_use]
    pub const fn has_rotated(&self) -> bool {
        self.rotation.is_some() || !self.dropped.is_empty()
    }

    /// Returns the record with the authority that issues now.
    pub(crate) fn issued_by(self, authority: &AuthorityRecord, at: (Timestamp, LogIndex)) -> Self {
        let AuthorityRecord { certificate, digest, not_after, .. } = authority.clone();
        Self { certificate, digest, not_after, adopted_at: at.0, index: at.1, ..self }
    }
}

/// A certificate that the cluster has issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of its public key.
    pub key: Fingerprint,
    /// Time at which it was issued.
    pub issued_at: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// Certificates of one holder: those that the cluster issued last, and the revocation of earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderRecord {
    /// The holder.
    pub id: HolderId,
    /// Certificates issued since the last revocation, the oldest first; a few, because each renewal
    /// leaves the one before behind.
    pub issued: Vec<IssuedCertificate>,
    /// Certificates issued before it that have not ended, the oldest first: they are refused whatever
    /// the clock said of the master that signed them.
    pub revoked: Vec<IssuedCertificate>,
    /// Time of the last revocation: of certificates that are valid from then or earlier, only those
    /// in `issued` are believed.
    pub revoked_at: Option<Timestamp>,
    /// Time from which on the record matters to nobody.
    pub kept_until: Timestamp,
    /// Log position of its last change.
    pub index: LogIndex,
}

impl HolderRecord {
    /// Returns true if a certificate that the cluster issued is still good.
    #[must_use]
    pub fn is_bound(&self, now: Timestamp) -> bool {
        self.issued.iter().any(|one| one.not_after > now)
    }

    /// Returns true if such a certificate was revoked.
    #[must_use]
    pub fn has_revoked(&self, shown: &ShownCertificate) -> bool {
        let is_among = |issued: &[IssuedCertificate]| {
            issued.iter().any(|one| one.serial.as_slice() == shown.serial.as_slice())
        };
        // The log has the order of those on record; of others only their dates are known.
        if is_among(&self.issued) {
            return false;
        }
        is_among(&self.revoked) || self.revoked_at.is_some_and(|at| shown.not_before <= at)
    }

    /// Returns true if such a public key was certified since the last revocation.
    pub(crate) fn has_certified(&self, key: &Fingerprint) -> bool {
        self.issued.iter().any(|one| one.key == *key)
    }
}

/// A certificate that somebody shows, as far as revocations look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    /// The holder.
    pub holder: HolderId,
    /// Its serial number, as bytes of the highest order first.
    pub serial: Vec<u8>,
    /// Begin of its validity.
    pub not_before: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_a_role_and_a_name() {
        for text in ["worker/w1", "master/1", "admin/ada", "viewer/a.b-c_d"] {
            assert_eq!(text.parse::<HolderId>().unwrap().as_str(), text);
        }
        let long = format!("worker/{}", "x".repeat(NAME_BYTES_MAX + 1));
        for text in ["", "w1", "root/x", "worker/", "worker/-", "worker/a/b", "Worker/a", &long] {
            assert!(text.parse::<HolderId>().is_err(), "{text}");
        }
        let worker: WorkerId = "w1".parse().unwrap();
        assert_eq!(HolderId::of_worker(&worker).worker(), Some(worker));
        assert_eq!(HolderId::of_master(MasterId(7)).as_str(), "master/7");
        assert_eq!("master/7".parse::<HolderId>().unwrap().worker(), None);
    }

    #[test]
    fn a_revocation_spares_what_was_issued_after_it() {
        let id: HolderId = "worker/w1".parse().unwrap();
        let shown = |serial: u8, at| ShownCertificate {
            holder: id.clone(),
            serial: vec![serial; 16],
            not_before: Timestamp(at),
        };
        let issued = IssuedCertificate {
            serial: [2; 16],
            key: [9; 32],
            issued_at: Timestamp(101),
            not_after: Timestamp(500),
        };
        let record = HolderRecord {
            id: id.clone(),
            issued: vec![issued],
            revoked: vec![IssuedCertificate { serial: [3; 16], ..issued }],
            revoked_at: Some(Timestamp(100)),
            kept_until: Timestamp(900),
            index: LogIndex(1),
        };
        assert!(record.has_revoked(&shown(1, 100)));
        assert!(!record.has_revoked(&shown(1, 101)), "it was made after the revocation");
        assert!(!record.has_revoked(&shown(2, 40)), "certificates are backdated");
        assert!(record.has_revoked(&shown(3, 400)), "a fast clock does not outrun the log");
        assert!(record.is_bound(Timestamp(499)) && !record.is_bound(Timestamp(500)));
    }
}
