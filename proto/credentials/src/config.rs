//! Names the files of a process's certificates, as its configuration says.

use std::path::{Path, PathBuf};

use crate::files::Files;

/// Keys under `tls`: all of them are given, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// File with the process's certificate and those of its issuers, in PEM.
    pub certificate: PathBuf,
    /// File with its key.
    pub key: PathBuf,
    /// File with the certificates that are trusted to issue others.
    pub ca: PathBuf,
    /// True if the certificate is renewed in its place. May be given alone.
    pub renew: bool,
}

impl TlsConfig {
    /// Returns the files, if they are given.
    #[must_use]
    pub fn files(&self) -> Option<Files> {
        let Self { certificate, key, ca, .. } = self.clone();
        is_given(&certificate).then_some(Files { certificate, key, trusted: ca })
    }

    /// Returns a key that is missing, and one that is given, if only some of them are.
    #[must_use]
    pub fn missing(&self) -> Option<(&'static str, &'static str)> {
        let keys =
            [("tls.certificate", &self.certificate), ("tls.key", &self.key), ("tls.ca", &self.ca)];
        let (missing, _) = keys.iter().find(|(_, path)| !is_given(path))?;
        let (given, _) = keys.iter().find(|(_, path)| is_given(path))?;
        Some((missing, given))
    }
}

fn is_given(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_come_together_or_not_at_all() {
        let none = TlsConfig::default();
        assert_eq!((none.files(), none.missing()), (None, None));
        let some = TlsConfig { key: "k".into(), ..none };
        assert_eq!(some.missing(), Some(("tls.certificate", "tls.key")));
        let all = TlsConfig { certificate: "c".into(), ca: "ca".into(), ..some };
        assert_eq!(all.missing(), None);
        assert_eq!(all.files().unwrap().trusted, Path::new("ca"));
    }
}
