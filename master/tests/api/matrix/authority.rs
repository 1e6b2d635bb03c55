//! An authority, with certificates as it issues them and others that nobody should believe.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use credentials::{Authority, Files, Identity, NewAuthority};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A certificate with its key, as a caller shows them.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Shown {
    fn new(chain: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Self { chain: chain.map(Result::unwrap).collect(), key }
    }
}

/// An authority of one cluster.
pub(super) struct TestAuthority {
    cluster: &'static str,
    made: NewAuthority,
    authority: Authority,
    dir: TempDir,
}

impl TestAuthority {
    pub(super) fn new(cluster: &'static str) -> Self {
        let made = Authority::create(cluster, now()).unwrap();
        let authority = Authority::open(&made.root, &made.issuer, &made.issuer_key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), &made.root).unwrap();
        Self { cluster, made, authority, dir }
    }

    /// The certificate that everybody trusts.
    pub(super) fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.made.root.as_bytes()).unwrap()
    }

    /// Issues a certificate, and returns its files.
    pub(super) fn files(&self, role: &str, name: &str) -> Files {
        let issued = self.issue(role, name, now());
        let path = |end: &str| self.dir.path().join(format!("{role}-{name}.{end}"));
        fs::write(path("crt"), &issued.chain).unwrap();
        fs::write(path("key"), issued.key.reveal()).unwrap();
        fs::set_permissions(path("key"), fs::Permissions::from_mode(0o600)).unwrap();
        let trusted = self.dir.path().join("ca.crt");
        Files { certificate: path("crt"), key: path("key"), trusted }
    }

    /// Issues a certificate.
    pub(super) fn issued(&self, role: &str, name: &str) -> Shown {
        self.issued_at(role, name, now())
    }

    /// Issues a certificate that is valid for a day from then on.
    fn issued_at(&self, role: &str, name: &str, from: SystemTime) -> Shown {
        let issued = self.issue(role, name, from);
        Shown::new(&issued.chain, issued.key.reveal())
    }

    fn issue(&self, role: &str, name: &str, from: SystemTime) -> credentials::Issued {
        let holder = Identity::new(self.cluster, role.parse().unwrap(), name).unwrap();
        let hosts = ["localhost".parse().unwrap()];
        self.authority.issue(&holder, &hosts, DAY, from).unwrap()
    }

    /// Issues a certificate with these names, as no authority of ours would.
    fn odd(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Shown {
        let issuer_key = KeyPair::from_pem(self.made.issuer_key.reveal()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.made.issuer, issuer_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = odd_params(names, usage).signed_by(&key, &issuer).unwrap();
        let chain = format!("{}{}", certificate.pem(), self.made.issuer);
        Shown::new(&chain, &key.serialize_pem())
    }

    /// Certificates that nobody should believe, with what is wrong with each.
    pub(super) fn wrong_certificates(&self) -> Vec<(&'static str, Shown)> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let admin = format!("spiffe://{}/admin/mallory", self.cluster);
        let own = admin.as_str();
        let twin = Self::new(self.cluster);
        let key = KeyPair::generate().unwrap();
        let params = odd_params(&[own], ClientAuth);
        let self_signed = params.self_signed(&key).unwrap().pem();
        vec![
            ("expired", self.issued_at("admin", "mallory", now() - 2 * DAY)),
            ("not valid yet", self.issued_at("admin", "mallory", now() + DAY)),
            ("self-signed", Shown::new(&self_signed, &key.serialize_pem())),
            ("of another authority for the same cluster", twin.issued("admin", "mallory")),
            ("a master of another authority", twin.issued("master", "1")),
            ("of another cluster", self.odd(&["spiffe://other/admin/mallory"], ClientAuth)),
            ("without a name", self.odd(&[], ClientAuth)),
            ("with two names", self.odd(&[own, "spiffe://test/master/1"], ClientAuth)),
            (
                "with a role that does not exist",
                self.odd(&["spiffe://test/root/mallory"], ClientAuth),
            ),
            ("with a name of another kind", self.odd(&["https://test/admin/mallory"], ClientAuth)),
            ("for servers only", self.odd(&[own], ServerAuth)),
        ]
    }
}

fn odd_params(names: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    params.subject_alt_names =
        names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
    params.extended_key_usages = vec![usage];
    params
}

#[expect(clippy::disallowed_methods, reason = "a certificate's dates are of the wall clock")]
fn now() -> SystemTime {
    SystemTime::now()
}
