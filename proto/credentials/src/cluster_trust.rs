//! Roots that a cluster has added to those of the file that the configuration names, and roots that count no
//! longer. A process keeps it in a file of its data directory.

use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::renewal::replace_file;

/// Mode of the file, in which nothing is secret.
const MODE: u32 = 0o644;
/// Begin of the lines that name roots which count no longer.
const DROPPED: &str = "dropped: ";

/// Roots that the cluster has added to those of a file, and roots that it has dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterTrust {
    /// Certificates that are trusted as well, in PEM.
    pub added: String,
    /// SHA-256 of certificates that are not trusted, whatever holds them, in hexadecimal digits.
    pub dropped: Vec<String>,
}

impl ClusterTrust {
    /// Writes the file, or removes it if there is nothing to say. Returns true if that has changed
    /// anything.
    ///
    /// # Errors
    ///
    /// When it cannot be written: it is as it was.
    pub fn keep(&self, path: &Path) -> io::Result<bool> {
        let known = match fs::read_to_string(path) {
            Ok(known) => Some(known),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if self.added.is_empty() && self.dropped.is_empty() {
            return match known {
                Some(_) => fs::remove_file(path).map(|()| true),
                None => Ok(false),
            };
        }
        let text = self.text();
        if known.as_ref() == Some(&text) {
            return Ok(false);
        }
        replace_file(path, &text, MODE).map(|()| true)
    }

    fn text(&self) -> String {
        let dropped = self.dropped.iter().map(|digest| format!("{DROPPED}{digest}\n"));
        format!(
            "What the cluster has changed about tls.ca. The cluster keeps this file.\n{}{}",
            dropped.collect::<String>(),
            self.added
        )
    }

    /// Reads the file's text.
    pub(crate) fn read(text: &str) -> Self {
        let dropped = text.lines().filter_map(|line| line.strip_prefix(DROPPED));
        let dropped = dropped.map(|digest| digest.trim().to_ascii_lowercase()).collect();
        Self { added: text.to_owned(), dropped }
    }

    /// Returns the certificates that are trusted where a file holds these.
    pub(crate) fn with(
        &self,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Vec<CertificateDer<'static>> {
        let added = CertificateDer::pem_slice_iter(self.added.as_bytes()).filter_map(Result::ok);
        let mut trusted = Vec::new();
        for certificate in certificates.into_iter().chain(added) {
            let digest = Sha256::digest(certificate.as_ref());
            let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            if !self.dropped.contains(&digest) && !trusted.contains(&certificate) {
                trusted.push(certificate);
            }
        }
        trusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;

    #[test]
    fn the_file_says_which_roots_count_and_goes_with_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted.crt");
        let root = || Authority::create("prod", crate::now()).unwrap().root;
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (old, new) = (root(), root());
        let trusted = |of_file: &[&String]| {
            let read = fs::read_to_string(&path).map(|text| ClusterTrust::read(&text));
            read.unwrap_or_default().with(of_file.iter().map(|pem| der(pem)).collect())
        };

        let both = ClusterTrust { added: new.clone(), dropped: Vec::new() };
        assert!(both.keep(&path).unwrap() && !both.keep(&path).unwrap());
        assert_eq!(trusted(&[&old]), [der(&old), der(&new)]);
        assert_eq!(trusted(&[&old, &new]), [der(&old), der(&new)]);

        let digest = crate::describe(&old).unwrap().remove(0).digest;
        let later = ClusterTrust { added: new.clone(), dropped: vec![digest] };
        assert!(later.keep(&path).unwrap());
        assert_eq!(trusted(&[&old]), [der(&new)]);

        assert!(ClusterTrust::default().keep(&path).unwrap());
        assert!(!path.exists() && !ClusterTrust::default().keep(&path).unwrap());
        assert_eq!(trusted(&[&old]), [der(&old)]);
    }
}
