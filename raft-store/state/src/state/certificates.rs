//! The issuer of certificates, and their holders.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use crate::{HolderId, HolderRecord, IssuerRecord, ShownCertificate, Timestamp};

/// Holders of certificates, and the order in which their records end.
#[derive(Debug, Default)]
pub(super) struct Holders {
    records: BTreeMap<HolderId, HolderRecord>,
    by_end: BTreeSet<(Timestamp, HolderId)>,
}

impl State {
    /// Returns the issuer that the cluster has adopted.
    #[must_use]
    pub const fn issuer(&self) -> Option<&IssuerRecord> {
        self.issuer.as_ref()
    }

    /// Returns the holders of certificates that are on record, by name.
    pub fn holders(&self) -> impl ExactSizeIterator<Item = &HolderRecord> {
        self.holders.records.values()
    }

    /// Returns a holder of certificates.
    #[must_use]
    pub fn holder(&self, id: &HolderId) -> Option<&HolderRecord> {
        self.holders.records.get(id)
    }

    /// Returns true if a certificate was revoked.
    #[must_use]
    pub fn is_revoked(&self, shown: &ShownCertificate) -> bool {
        self.holder(&shown.holder).is_some_and(|holder| holder.has_revoked(shown))
    }

    /// Returns the first holder whose record matters to nobody any more.
    pub(crate) fn expired_holder(&self, now: Timestamp) -> Option<&HolderId> {
        self.holders.by_end.first().filter(|(end, _)| *end <= now).map(|(_, id)| id)
    }

    /// Returns whether the holders are those that are ordered by their ends.
    pub(crate) fn holders_are_in_step(&self) -> bool {
        let Holders { records, by_end } = &self.holders;
        records.len() == by_end.len()
            && records.len() <= self.limits().holders_max
            && records.values().all(|one| {
                one.issued.len() <= self.limits().certificates_kept_max
                    && one.revoked.len() <= self.limits().revoked_kept_max
                    && by_end.contains(&(one.kept_until, one.id.clone()))
            })
    }

    pub(crate) fn put_issuer(&mut self, issuer: IssuerRecord) {
        self.issuer = Some(issuer);
    }

    pub(crate) fn put_holder(&mut self, holder: HolderRecord) {
        self.remove_holder(&holder.id);
        self.holders.by_end.insert((holder.kept_until, holder.id.clone()));
        self.holders.records.insert(holder.id.clone(), holder);
    }

    pub(crate) fn remove_holder(&mut self, id: &HolderId) {
        if let Some(holder) = self.holders.records.remove(id) {
            self.holders.by_end.remove(&(holder.kept_until, holder.id));
        }
    }
}
