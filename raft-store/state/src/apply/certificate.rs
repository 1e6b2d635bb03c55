//! Applies commands about certificates: the order of the log decides who gets a name, and what was
//! revoked before it was renewed.

use super::Apply;
use crate::{
    AdoptIssuer, Change, Fingerprint, ForgetWorker, Grounds, HolderId, HolderRecord,
    IssueCertificate, IssuedCertificate, IssuerRecord, Key, Record, Rejection, Reply,
    RevokeCertificates, Timestamp,
};

/// Records that are dropped with each one that is written: more than one, so that they go down.
const DROPPED_AT_ONCE: usize = 2;

impl Apply<'_> {
    /// Makes an issuer that of the cluster.
    pub(super) fn adopt_issuer(&mut self, command: AdoptIssuer) -> Result<Reply, Rejection> {
        let AdoptIssuer { roots, certificate, digest, not_after } = command;
        let bytes_max = self.limits().issuer_bytes_max;
        if roots.len().saturating_add(certificate.len()) > bytes_max {
            return Err(Rejection::limit("bytes of the issuer's certificates", bytes_max));
        }
        let known = self.state.issuer();
        if known.is_some_and(|known| known.rotation.is_some()) {
            return Err(Rejection::RotationUnderWay);
        }
        if known.is_some_and(|known| known.digest == digest && known.roots == roots) {
            return Ok(Reply::Done);
        }

        let (adopted_at, index) = (self.now, self.index);
        let (rotation, dropped) =
            (None, known.map(|known| known.dropped.clone()).unwrap_or_default());
        let issuer = IssuerRecord {
            roots,
            certificate,
            digest,
            not_after,
            adopted_at,
            index,
            rotation,
            dropped,
        };
        self.state.put_issuer(issuer.clone());
        self.changes.push(Change::Put(Record::Issuer(issuer)));
        Ok(Reply::Done)
    }

    /// Records that a holder is issued a certificate, or says why it is not.
    pub(super) fn issue_certificate(
        &mut self,
        command: IssueCertificate,
    ) -> Result<Reply, Rejection> {
        let IssueCertificate { holder: id, issuer, serial, key, not_after, grounds } = command;
        match self.state.issuer() {
            None => return Err(Rejection::NoIssuer),
            Some(known) if known.digest != issuer => return Err(Rejection::OtherIssuer),
            Some(_) => {}
        }
        match grounds {
            Grounds::Certificate(shown) => {
                if shown.holder != id || self.state.is_revoked(&shown) {
                    return Err(Rejection::RevokedCertificate { holder: id.as_str().into() });
                }
            }
            Grounds::JoinToken { token, digest } => {
                self.check_token(&token)?;
                if self.state.token(&token).is_none_or(|known| known.digest != digest) {
                    return Err(Rejection::InvalidToken { token: token.as_str().into() });
                }
                self.check_name_is_free(&id, &key)?;
                self.check_room_for_holder(&id, self.limits().holders_of_tokens_max())?;
            }
        }
        self.check_room_for_holder(&id, self.limits().holders_max)?;

        let known = self.state.holder(&id).cloned();
        let (mut issued, mut revoked, revoked_at, kept_until) = match known {
            Some(known) => (known.issued, known.revoked, known.revoked_at, known.kept_until),
            None => (Vec::new(), Vec::new(), None, Timestamp(0)),
        };
        revoked.retain(|one| one.not_after > self.now);
        issued.retain(|one| one.not_after > self.now);
        if issued.len() >= self.limits().certificates_kept_max {
            issued.remove(0);
        }
        issued.push(IssuedCertificate { serial, key, issued_at: self.now, not_after });
        let kept_until = kept_until.max(not_after);
        let index = self.index;
        self.put_holder(HolderRecord { id, issued, revoked, revoked_at, kept_until, index });
        Ok(Reply::Done)
    }

    /// Refuses a name that somebody else holds. Whoever asks again with the same key is who it was:
    /// the answer of the first time may have been lost.
    fn check_name_is_free(&self, id: &HolderId, key: &Fingerprint) -> Result<(), Rejection> {
        let holder = self.state.holder(id);
        if holder.is_some_and(|holder| holder.has_certified(key)) {
            return Ok(());
        }
        let worker = id.worker().and_then(|worker| self.state.worker(&worker));
        let has_registered = worker.is_some_and(|worker| worker.process.is_some());
        if has_registered || holder.is_some_and(|holder| holder.is_bound(self.now)) {
            return Err(Rejection::BoundName { holder: id.as_str().into() });
        }
        Ok(())
    }

    /// Revokes what a holder has.
    pub(super) fn revoke_certificates(
        &mut self,
        command: &RevokeCertificates,
    ) -> Result<Reply, Rejection> {
        self.check_room_for_holder(&command.holder, self.limits().holders_max)?;
        self.revoke(command.holder.clone());
        Ok(Reply::Done)
    }

    /// Removes a worker from the registry, revokes its certificates, and so frees its name.
    pub(super) fn forget_worker(&mut self, command: &ForgetWorker) -> Result<Reply, Rejection> {
        let ForgetWorker { worker: id, force } = command;
        let holder = HolderId::of_worker(id);
        let known = self.state.worker(id).cloned();
        if known.is_none() && self.state.holder(&holder).is_none() {
            return Err(Rejection::UnknownWorker { worker: id.as_str().into() });
        }
        if known.as_ref().is_some_and(|worker| worker.is_active()) && !force {
            return Err(Rejection::ActiveWorker { worker: id.as_str().into() });
        }
        self.check_room_for_holder(&holder, self.limits().holders_max)?;

        if known.is_some() {
            self.unregister_worker(id)?;
        }
        self.revoke(holder);
        Ok(Reply::Done)
    }

    fn revoke(&mut self, id: HolderId) {
        let kept_until = self.now.after(self.limits().revocation_retention);
        let known = self.state.holder(&id);
        let mut revoked = known.map_or_else(Vec::new, |known| {
            known.revoked.iter().chain(&known.issued).copied().collect::<Vec<_>>()
        });
        revoked.retain(|one| one.not_after > self.now);
        // The oldest of too many are refused by their dates.
        let surplus = revoked.len().saturating_sub(self.limits().revoked_kept_max);
        revoked.drain(..surplus);
        let (issued, revoked_at, index) = (Vec::new(), Some(self.now), self.index);
        self.put_holder(HolderRecord { id, issued, revoked, revoked_at, kept_until, index });
    }

    fn check_room_for_holder(&self, id: &HolderId, holders_max: usize) -> Result<(), Rejection> {
        let has_room = self.state.holders().len() < holders_max
            || self.state.holder(id).is_some()
            || self.state.expired_holder(self.now).is_some();
        if has_room {
            return Ok(());
        }
        Err(Rejection::limit("holders of certificates", holders_max))
    }

    /// Writes a holder, and drops some of those that matter to nobody any more.
    fn put_holder(&mut self, holder: HolderRecord) {
        self.state.put_holder(holder.clone());
        self.changes.push(Change::Put(Record::Holder(holder)));
        for _ in 0..DROPPED_AT_ONCE {
            let Some(id) = self.state.expired_holder(self.now).cloned() else { return };
            self.state.remove_holder(&id);
            self.changes.push(Change::Delete(Key::Holder(id)));
        }
    }
}
