//! Connections to the masters of a cluster, for orders about data directories.

use std::path::PathBuf;

use clap::Args;
use credentials::{Credentials, CredentialsError, Files};
use proto::channel::Dialer;

/// Certificates with which masters are asked, those of a master.
#[derive(Debug, Args)]
pub(crate) struct TlsFlags {
    /// Certificate of this master, with which the others are asked where they use TLS
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    tls_certificate: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Certificates that are trusted to issue those of the others
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_ca: Option<PathBuf>,
}

impl TlsFlags {
    /// Returns what opens connections: in clear text without certificates.
    ///
    /// # Errors
    ///
    /// If the certificates cannot be used.
    pub(crate) fn dialer(&self) -> Result<Dialer, CredentialsError> {
        let Self { tls_certificate, tls_key, tls_ca } = self;
        let (Some(certificate), Some(key), Some(trusted)) = (tls_certificate, tls_key, tls_ca)
        else {
            return Ok(Dialer::plain());
        };
        let (certificate, key, trusted) = (certificate.clone(), key.clone(), trusted.clone());
        Ok(Dialer::secured(Credentials::load(Files { certificate, key, trusted })?))
    }
}
