//! Certificates that are trusted to issue others, each for its time: the library asks for the validity of
//! the others only.

use std::sync::Arc;
use std::time::SystemTime;

use humantime::{Rfc3339Timestamp, format_rfc3339_seconds};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::certificate::{CertificateFault, parsed, validity};
use crate::verify::check_chain;

/// Reason that a trusted certificate vouches for nobody.
#[derive(Debug, thiserror::Error)]
pub enum RootFault {
    /// It is no certificate that can be trusted.
    #[error("it holds a certificate that cannot be trusted: {0}")]
    Unusable(#[from] rustls::Error),
    /// It does not vouch for a chain.
    #[error("what it should vouch for does not lead to it, or not now: {0}")]
    Chain(rustls::Error),
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] CertificateFault),
    /// Its time is over.
    #[error(
        "{subject} was valid until {until}, and this machine's clock says {now}: replace it, or set the \
         clock"
    )]
    Expired {
        /// Name in the certificate.
        subject: String,
        until: Rfc3339Timestamp,
        now: Rfc3339Timestamp,
    },
    /// Its time has not come.
    #[error(
        "{subject} is valid from {from} on, and this machine's clock says {now}: set the clock"
    )]
    NotYet {
        /// Name in the certificate.
        subject: String,
        from: Rfc3339Timestamp,
        now: Rfc3339Timestamp,
    },
}

/// Trusted certificates of one file.
#[derive(Debug)]
pub(crate) struct Roots {
    all: Vec<Root>,
    /// All of them, for the times at which all are valid.
    store: Arc<RootCertStore>,
}

#[derive(Debug)]
struct Root {
    der: CertificateDer<'static>,
    /// Name in the certificate.
    subject: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Root {
    fn is_valid(&self, now: SystemTime) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }

    /// Says why it is not trusted at that time.
    fn fault(&self, now: SystemTime) -> Option<RootFault> {
        let (subject, shown) = (self.subject.clone(), format_rfc3339_seconds(now));
        if now >= self.not_after {
            let until = format_rfc3339_seconds(self.not_after);
            return Some(RootFault::Expired { subject, until, now: shown });
        }
        let from = format_rfc3339_seconds(self.not_before);
        (now < self.not_before).then_some(RootFault::NotYet { subject, from, now: shown })
    }
}

fn hexadecimal(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate.as_ref()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Roots {
    /// Takes certificates, valid or not.
    pub(crate) fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, RootFault> {
        let mut store = RootCertStore::empty();
        let mut all = Vec::with_capacity(certificates.len());
        for der in certificates {
            store.add(der.clone())?;
            let (subject, (not_before, not_after)) = {
                let certificate = parsed(&der)?;
                (certificate.subject().to_string(), validity(&certificate))
            };
            all.push(Root { der, subject, not_before, not_after });
        }
        Ok(Self { all, store: Arc::new(store) })
    }

    /// Returns true if the certificate of that SHA-256 is among them.
    pub(crate) fn have(&self, digest: &[u8; 32]) -> bool {
        self.all.iter().any(|root| Sha256::digest(root.der.as_ref()).as_slice() == digest)
    }

    /// Returns true if the certificate of that SHA-256, in hexadecimal digits, is among them.
    pub(crate) fn have_hexadecimal(&self, digest: &str) -> bool {
        self.all.iter().any(|root| hexadecimal(&root.der).eq_ignore_ascii_case(digest))
    }

    /// Returns true if that certificate is among them.
    pub(crate) fn hold(&self, certificate: &CertificateDer<'_>) -> bool {
        self.all.iter().any(|root| root.der == *certificate)
    }

    /// Returns those that are valid at that time.
    pub(crate) fn at(&self, now: SystemTime) -> Arc<RootCertStore> {
        if self.all.iter().all(|root| root.is_valid(now)) {
            return Arc::clone(&self.store);
        }
        let mut store = RootCertStore::empty();
        let valid = self.all.iter().filter(|root| root.is_valid(now));
        // Each was added before, to the other store.
        store.add_parsable_certificates(valid.map(|root| root.der.clone()));
        Arc::new(store)
    }

    /// Says of those that are not valid at that time why they are not.
    pub(crate) fn faults(&self, now: SystemTime) -> Vec<RootFault> {
        self.all.iter().filter_map(|root| root.fault(now)).collect()
    }

    /// Returns the names of those that are not valid at that time, with the reasons.
    pub(crate) fn outdated(&self, now: SystemTime) -> Vec<(String, RootFault)> {
        let named = |root: &Root| Some((root.subject.clone(), root.fault(now)?));
        self.all.iter().filter_map(named).collect()
    }

    /// Returns the time until which a chain is vouched for, by the valid one of them that ends last, and the
    /// SHA-256 of that.
    ///
    /// # Errors
    ///
    /// If none of them vouches for it.
    pub(crate) fn vouch(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(SystemTime, [u8; 32]), rustls::Error> {
        check_chain(&self.at(now), chain, now)?;
        let vouches = |root: &&Root| {
            let mut alone = RootCertStore::empty();
            alone.add(root.der.clone()).is_ok() && check_chain(&Arc::new(alone), chain, now).is_ok()
        };
        let valid = self.all.iter().filter(|root| root.is_valid(now)).filter(vouches);
        let last = valid.max_by_key(|root| root.not_after);
        let last = last.ok_or(rustls::Error::NoCertificatesPresented)?;
        Ok((last.not_after, Sha256::digest(last.der.as_ref()).into()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::authority::Authority;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

    /// Returns a root that was made at that time, and is valid for ten years.
    fn root(made_at: SystemTime) -> CertificateDer<'static> {
        let root = Authority::create("prod", made_at).unwrap().root;
        CertificateDer::from_pem_slice(root.as_bytes()).unwrap()
    }

    #[test]
    fn a_root_is_trusted_for_its_time_and_named_outside_of_it() {
        let start = SystemTime::UNIX_EPOCH + 40 * YEAR;
        let roots = Roots::of(vec![root(start), root(start + 9 * YEAR)]).unwrap();
        let count = |years| roots.at(start + years * YEAR).roots.len();
        assert_eq!([0, 9, 10, 18, 19].map(count), [1, 2, 1, 1, 0]);

        let told = |years: u32| {
            let faults = roots.faults(start + years * YEAR);
            faults.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(9), [""; 0]);
        let [early] = &*told(0) else { unreachable!("one is not valid yet: {:?}", told(0)) };
        assert!(early.contains("prod root") && early.contains("is valid from"), "{early}");
        let [late] = &*told(10) else { unreachable!("one has expired: {:?}", told(10)) };
        assert!(late.contains("prod root") && late.contains("was valid until"), "{late}");
    }
}
