//! One authority after another: proof that the one whom somebody trusts vouches for the next, and texts
//! with the roots of both.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, IsCa, KeyUsagePurpose, SanType, SubjectPublicKeyInfo};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{Authority, BACKDATED, IssueError, distinguished_name, hexadecimal, is_signed_by};
use crate::certificate::{CertificateFault, issuer_cluster, not_after, parsed};
use crate::identity::cluster_uri;
use crate::roots::{RootFault, Roots};
use crate::unverified::{END, root_of_digest};
use crate::verify::check_chain;

impl Authority {
    /// Returns the root's certificate in PEM, as it stands in a text that holds it.
    #[must_use]
    pub fn root_of(&self, roots: &str) -> Option<String> {
        root_of_digest(roots, &self.digest())
    }

    /// Returns the SHA-256 of the root's certificate.
    #[must_use]
    pub fn root_digest(&self) -> [u8; 32] {
        Sha256::digest(self.root.as_ref()).into()
    }

    /// Returns the end of the root's validity.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn root_not_after(&self) -> Result<SystemTime, IssueError> {
        Ok(not_after(&self.root)?)
    }

    /// Returns true if the roots of both have one key: whoever has dropped one still believes the other's
    /// certificates.
    #[must_use]
    pub fn has_root_key_of(&self, other: &Self) -> bool {
        let key =
            |root: &CertificateDer<'_>| parsed(root).map(|one| one.public_key().raw.to_vec()).ok();
        key(&self.root) == key(&other.root)
    }

    /// Checks that whoever trusts the root, and nothing else, believes a chain in PEM at that time.
    ///
    /// # Errors
    ///
    /// When it is not believed, or the root has expired or is not valid yet.
    pub fn check_believed(&self, chain: &str, now: SystemTime) -> Result<(), RootFault> {
        let roots = Roots::of(vec![self.root.clone()])?;
        if let Some(fault) = roots.faults(now).into_iter().next() {
            return Err(fault);
        }
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| CertificateFault::Malformed)?;
        check_chain(&roots.at(now), &chain, now).map_err(RootFault::Chain)
    }

    /// Certifies the key of another authority's root, for those who trust this one alone. The
    /// certificate names the cluster and no holder, so that it is good for nothing else.
    ///
    /// # Errors
    ///
    /// When the key of the other root cannot be read.
    pub fn endorse(&self, other: &Self, now: SystemTime) -> Result<String, IssueError> {
        let key = SubjectPublicKeyInfo::from_der(parsed(&other.root)?.public_key().raw)?;
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::from(now.checked_sub(BACKDATED).unwrap_or(now));
        params.not_after = OffsetDateTime::from(self.not_after);
        params.distinguished_name = distinguished_name(&self.cluster, "next root");
        let uri = cluster_uri(&self.cluster)?;
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), self.issuer_pem))
    }
}

/// Returns the certificate among `roots`, in PEM, for which one who trusts `trusted` alone has the
/// proof that is [`Authority::endorse`]d.
#[must_use]
pub fn endorsed_root(
    trusted: &str,
    (endorsement, roots): (&str, &str),
    now: SystemTime,
) -> Option<String> {
    let read = |text: &str| {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().ok()
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(read(trusted)?);
    let chain = read(endorsement)?;
    check_chain(&Arc::new(store), &chain, now).ok()?;
    let proof = chain.first()?;
    // That of a holder, whose key somebody has for other purposes, names more than the cluster.
    issuer_cluster(proof).ok()?;
    let key = parsed(proof).ok()?.public_key().raw.to_vec();
    let is_meant =
        |root: &&CertificateDer<'_>| parsed(root).is_ok_and(|one| one.public_key().raw == key);
    let roots_read = read(roots)?;
    let found = roots_read.iter().find(is_meant)?;
    let digest = hexadecimal(Sha256::digest(found.as_ref()).iter());
    root_of_digest(roots, &digest)
}

/// Returns the certificate among `roots` that has signed an issuer's, all in PEM.
#[must_use]
pub fn root_of_issuer(roots: &str, issuer: &str) -> Option<String> {
    let issuer = CertificateDer::from_pem_slice(issuer.as_bytes()).ok()?;
    let has_signed = |block: &&str| {
        let root = CertificateDer::from_pem_slice(block.as_bytes());
        root.is_ok_and(|root| is_signed_by(&root, &issuer))
    };
    blocks(roots).find(has_signed).map(|block| format!("{block}\n"))
}

/// Returns the certificates of both texts in PEM, each once.
#[must_use]
pub fn joined_roots(roots: &str, others: &str) -> String {
    let mut joined: Vec<&str> = Vec::new();
    for block in blocks(roots).chain(blocks(others)) {
        if !joined.contains(&block) {
            joined.push(block);
        }
    }
    joined.iter().map(|block| format!("{block}\n")).collect()
}

/// Returns the certificates of a text in PEM but for the one with that SHA-256, in hexadecimal digits.
#[must_use]
pub fn roots_without(roots: &str, digest: &str) -> String {
    let stays = |block: &&str| root_of_digest(block, digest).is_none();
    blocks(roots).filter(stays).map(|block| format!("{block}\n")).collect()
}

fn blocks(roots: &str) -> impl Iterator<Item = &str> {
    roots.split_inclusive(END).map(str::trim).filter(|block| block.ends_with(END))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::authority::NewAuthority;
    use crate::identity::{Identity, Role};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(56 * 365 * 24 * 3_600)
    }

    fn authority() -> (Authority, String) {
        let NewAuthority { root, issuer, issuer_key, .. } =
            Authority::create("prod", now()).unwrap();
        (Authority::open(&root, &issuer, &issuer_key).unwrap(), root)
    }

    #[test]
    fn a_root_is_believed_that_a_trusted_issuer_endorses() {
        let ((old, old_root), (new, new_root)) = (authority(), authority());
        let proof = old.endorse(&new, now()).unwrap();
        let both = joined_roots(&old_root, &new_root);
        let believed = endorsed_root(&old_root, (&proof, &both), now()).unwrap();
        assert_eq!(crate::describe(&believed).unwrap()[0].digest, new.digest());

        let (other, other_root) = authority();
        assert_eq!(endorsed_root(&other_root, (&proof, &both), now()), None, "another is trusted");
        assert_eq!(
            endorsed_root(&old_root, (&proof, &other_root), now()),
            None,
            "another is endorsed"
        );
        let forged = other.endorse(&new, now()).unwrap();
        assert_eq!(
            endorsed_root(&old_root, (&forged, &both), now()),
            None,
            "nobody trusts who endorses"
        );
    }

    #[test]
    fn a_holders_certificate_endorses_no_root() {
        let (old, old_root) = authority();
        let holder = Identity::new("prod", Role::Worker, "w1").unwrap();
        let issued = old.issue(&holder, &[], Duration::from_secs(600), now()).unwrap();
        // Whoever holds a certificate could make a root of its key; its own has the same one.
        assert_eq!(endorsed_root(&old_root, (&issued.chain, &issued.chain), now()), None);
    }

    #[test]
    fn an_authority_is_believed_within_its_time_only() {
        let (own, _) = authority();
        let holder = Identity::new("prod", Role::Master, "1").unwrap();
        let hour = Duration::from_secs(3_600);
        let check = |at: SystemTime| {
            let chain = own.issue(&holder, &[], hour, now()).unwrap().chain;
            own.check_believed(&chain, at).map_err(|error| error.to_string())
        };
        check(now()).unwrap();
        let early = check(now() - hour).unwrap_err();
        assert!(early.contains("is valid from"), "{early}");
        let late = check(now() + 11 * 365 * 24 * hour).unwrap_err();
        assert!(late.contains("root") && late.contains("was valid until"), "{late}");
        check(now() + 6 * 365 * 24 * hour).unwrap_err();
        let (other, _) = authority();
        let foreign = other.issue(&holder, &[], hour, now()).unwrap().chain;
        own.check_believed(&foreign, now()).unwrap_err();
    }

    #[test]
    fn a_root_that_was_signed_anew_has_its_key_still() {
        let NewAuthority { root, root_key, issuer, issuer_key } =
            Authority::create("prod", now()).unwrap();
        let key = rcgen::KeyPair::from_pem(root_key.reveal()).unwrap();
        let later = now() + Duration::from_secs(60);
        let params = super::super::authority_params("prod", "root", &key, later, BACKDATED);
        let anew = params.self_signed(&key).unwrap().pem();
        let own = Authority::open(&root, &issuer, &issuer_key).unwrap();
        let again = Authority::open(&anew, &issuer, &issuer_key).unwrap();
        assert_ne!(own.root_digest(), again.root_digest());
        assert!(own.has_root_key_of(&again) && !own.has_root_key_of(&authority().0));
    }

    #[test]
    fn the_root_of_an_issuer_is_found_by_its_signature() {
        let NewAuthority { root, issuer, .. } = Authority::create("prod", now()).unwrap();
        let (_, other) = authority();
        let found = root_of_issuer(&joined_roots(&other, &root), &issuer).unwrap();
        assert_eq!(found.trim(), root.trim());
        assert_eq!(root_of_issuer(&other, &issuer), None);
    }

    #[test]
    fn roots_are_joined_once_and_taken_out() {
        let ((old, old_root), (_, new_root)) = (authority(), authority());
        let both = joined_roots(&old_root, &new_root);
        assert_eq!(joined_roots(&both, &old_root), both);
        assert_eq!(crate::describe(&both).unwrap().len(), 2);
        assert_eq!(roots_without(&both, &old.digest()).trim(), new_root.trim());
    }
}
