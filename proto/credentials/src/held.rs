//! Certificates that are in use, and replaced under open connections.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use crate::certificate::{Certificate, CertificateFault};
use crate::cluster_trust::ClusterTrust;
use crate::files::{CredentialsError, Material, Stamps, TrustFiles};
use crate::identity::Identity;
use crate::parties::{Callers, Expected, Protocol};
use crate::revocations::Revocations;
use crate::verify::{ClientVerifier, ServerVerifier, check_chain, provider};

/// Interval at which the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the wall clock, by which certificates are valid.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a certificate's dates are of the wall clock")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// A chain is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Disbelief {
    /// A certificate cannot be read, or names nobody.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    /// It does not lead to what is trusted, or its time is not now.
    #[error("it does not lead to what is trusted: {0}")]
    Chain(#[from] Error),
    /// It is of another cluster.
    #[error("it is of {found}, of another cluster than {ours}")]
    OtherCluster { found: String, ours: String },
}

/// Certificates of one process. Clones share them.
///
/// Each new connection takes the certificates of its moment; those that are open stay.
#[derive(Debug, Clone)]
pub struct Credentials {
    files: Arc<TrustFiles>,
    current: Arc<Mutex<Current>>,
    revocations: Arc<OnceLock<Revocations>>,
}

#[derive(Debug)]
struct Current {
    material: Arc<Material>,
    /// Files as they were when they were read.
    stamps: Stamps,
}

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When they cannot be used, as the error says.
    pub fn load(files: impl Into<TrustFiles>) -> Result<Self, CredentialsError> {
        let files = files.into();
        // Looked at first: what changes meanwhile is read again.
        let stamps = Stamps::of(&files);
        let material = Arc::new(Material::read(&files, now())?);
        let current = Arc::new(Mutex::new(Current { material, stamps }));
        Ok(Self { files: Arc::new(files), current, revocations: Arc::default() })
    }

    /// Has new connections to servers refused whose certificate was revoked, as `is_revoked` says from
    /// now on. Callers with one are for those to refuse who know what they ask. It counts once.
    pub fn refuse_revoked(
        &self,
        is_revoked: impl Fn(&Certificate) -> bool + Send + Sync + 'static,
    ) {
        self.revocations.get_or_init(|| Revocations::new(is_revoked));
    }

    /// Checks that those who trust `roots`, in PEM, would believe the certificate that is in use.
    ///
    /// # Errors
    ///
    /// When they would not, with the reason.
    pub fn check_believed_by(&self, roots: &str) -> Result<(), Disbelief> {
        let material = self.material();
        let Some(own) = material.own.as_ref() else { return Ok(()) };
        let found = CertificateDer::pem_slice_iter(roots.as_bytes()).collect::<Result<Vec<_>, _>>();
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(found.map_err(|_| CertificateFault::Malformed)?);
        Ok(check_chain(&Arc::new(trusted), &own.key.cert, now())?)
    }

    /// Returns the holder, if there is a certificate.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let material = self.material();
        material.own.as_ref().map(|own| own.certificate.identity.clone())
    }

    /// Returns the certificate, if there is one.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        self.material().own.as_ref().map(|own| own.certificate.clone())
    }

    /// Returns the SHA-256 of the trusted certificate that vouches for the one in use.
    #[must_use]
    pub fn root(&self) -> Option<[u8; 32]> {
        self.material().own.as_ref()?.root
    }

    /// Returns true if the certificate of that SHA-256 is trusted.
    #[must_use]
    pub fn trusts(&self, root: &[u8; 32]) -> bool {
        self.material().roots.have(root)
    }

    /// Returns true if what is in use is what a cluster says: each certificate that it adds is trusted, and
    /// none that it has dropped.
    #[must_use]
    pub fn follow(&self, trust: &ClusterTrust) -> bool {
        let material = self.material();
        let ClusterTrust { added, dropped } = trust;
        let mut added = CertificateDer::pem_slice_iter(added.as_bytes());
        added.all(|one| one.is_ok_and(|one| material.roots.hold(&one)))
            && !dropped.iter().any(|digest| material.roots.have_hexadecimal(digest))
    }

    /// Returns the file in which is kept what the cluster says about trust.
    #[must_use]
    pub fn cluster_file(&self) -> Option<&Path> {
        self.files.cluster.as_deref()
    }

    /// Checks that those who trust the same as this process would believe a chain in PEM, and that it
    /// is of this process's cluster. Returns the certificate.
    ///
    /// # Errors
    ///
    /// When they would not, with the reason.
    pub fn check_chain(&self, chain: &str) -> Result<Certificate, Disbelief> {
        let material = self.material();
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| CertificateFault::Malformed)?;
        let certificate =
            chain.first().map_or(Err(CertificateFault::Malformed), Certificate::read)?;
        check_chain(&material.roots.at(now()), &chain, now())?;
        let own = material.own.as_ref().map(|own| &own.certificate.identity);
        match own.filter(|own| own.cluster() != certificate.identity.cluster()) {
            Some(own) => Err(Disbelief::OtherCluster {
                found: certificate.identity.to_string(),
                ours: own.cluster().to_owned(),
            }),
            None => Ok(certificate),
        }
    }

    /// Returns the time at which the certificate, or one that vouches for it, ends.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.material().own.as_ref().map(|own| own.not_after)
    }

    /// Reads the files again if they have changed since they were last looked at. What is in use
    /// stays in use when they cannot be used, and they are read again each time: what is wrong may be
    /// the clock, or a permission. Returns true if there is something new.
    ///
    /// # Errors
    ///
    /// When the files cannot be used; each time, as long as they are there.
    pub fn refresh(&self) -> Result<bool, CredentialsError> {
        let stamps = Stamps::of(&self.files);
        if self.current.lock().stamps == stamps {
            return Ok(false);
        }
        let material = self.check_holder(Material::read(&self.files, now())?)?;
        *self.current.lock() = Current { material: Arc::new(material), stamps };
        Ok(true)
    }

    /// Refuses what names somebody else: others would not believe it, or believe the wrong thing.
    fn check_holder(&self, read: Material) -> Result<Material, CredentialsError> {
        let now = read.own.as_ref().map(|own| own.certificate.identity.clone());
        match (now, self.identity()) {
            (Some(now), Some(before)) if now != before => {
                let (now, before) = (now.to_string(), before.to_string());
                Err(CredentialsError::OtherHolder { now, before })
            }
            _ => Ok(read),
        }
    }

    /// Logs which trusted certificates are not valid now, but for those that were told of, and returns the
    /// names of all of them.
    fn tell_outdated(&self, told: &[String]) -> Vec<String> {
        let outdated = self.material().roots.outdated(now());
        for (_, reason) in outdated.iter().filter(|(subject, _)| !told.contains(subject)) {
            let (file, reason) = (self.files.trusted.display(), reason.to_string());
            tracing::warn!(%file, reason, "a trusted certificate vouches for nobody");
        }
        outdated.into_iter().map(|(subject, _)| subject).collect()
    }

    /// Looks at the files every few seconds until `stop`, and logs what it finds: once for each reason that
    /// they cannot be used, and for each trusted certificate whose time is over.
    pub async fn watch(self, stop: CancellationToken) {
        let (mut told, mut refused) = (Vec::new(), None);
        loop {
            told = self.tell_outdated(&told);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let this = self.clone();
            let Ok(refreshed) = tokio::task::spawn_blocking(move || this.refresh()).await else {
                continue;
            };
            let reason = refreshed.as_ref().err().map(ToString::to_string);
            match refreshed {
                Ok(false) => {}
                Ok(true) => tracing::info!("new certificates are in use"),
                Err(_) if refused == reason => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "changed certificates cannot be used: those from before stay"
                ),
            }
            refused = reason;
        }
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.current.lock().material)
    }

    /// Returns the configuration of a server for one handshake.
    pub(crate) fn server_config(
        &self,
        callers: Callers,
        protocol: Protocol,
    ) -> Result<Arc<ServerConfig>, Error> {
        let material = self.material();
        let own = material.own.as_ref().ok_or(Error::NoCertificatesPresented)?;
        let (roots, provider) = (material.roots.at(now()), provider());
        let cluster = own.certificate.identity.cluster().to_owned();
        let verifier = ClientVerifier::new(roots, Arc::clone(&provider), cluster, callers)?;
        let key = SingleCertAndKey::from(Arc::clone(&own.key));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        // Whoever comes back shows a certificate again, and sees the one of today.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Returns the configuration of a client for one handshake.
    pub(crate) fn client_config(
        &self,
        expected: &Expected,
        protocol: Protocol,
    ) -> Result<Arc<ClientConfig>, Error> {
        let material = self.material();
        let provider = provider();
        let own = material.own.as_ref();
        let verifier = ServerVerifier {
            roots: material.roots.at(now()),
            provider: Arc::clone(&provider),
            cluster: own.map(|own| own.certificate.identity.cluster().to_owned()),
            expected: expected.clone(),
            revocations: self.revocations.get().cloned(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match own {
            Some(own) => {
                let key = SingleCertAndKey::from(Arc::clone(&own.key));
                builder.with_client_cert_resolver(Arc::new(key))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}
