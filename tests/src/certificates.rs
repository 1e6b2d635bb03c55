//! Certificates of a cluster, made as an operator makes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::binary;

/// An authority in a directory of its own, and certificates that it has issued.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
    /// File with the roots that people trust; that of the authority if it is absent.
    trusted: Option<PathBuf>,
}

impl Certificates {
    /// Makes an authority for a cluster.
    #[must_use]
    pub fn init(dir: PathBuf, cluster: &str) -> Self {
        let made = Self { dir, trusted: None };
        made.run(&["init", "--cluster", cluster, made.dir.to_str().unwrap()]);
        made
    }

    /// The certificates that everybody trusts.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The same for people who trust what is in a file.
    #[must_use]
    pub fn trusting(self, file: &Path) -> Self {
        Self { trusted: Some(file.to_owned()), ..self }
    }

    /// The certificates that people trust.
    #[must_use]
    pub fn trusted(&self) -> PathBuf {
        self.trusted.clone().unwrap_or_else(|| self.authority())
    }

    /// Issues a certificate, in place of one that there may be, and returns its files.
    pub fn issue(&self, role: &str, name: &str) -> (PathBuf, PathBuf) {
        self.issue_with(role, name, &[])
    }

    /// Issues a certificate with further flags.
    pub fn issue_with(&self, role: &str, name: &str, flags: &[&str]) -> (PathBuf, PathBuf) {
        let dir = self.dir.to_str().unwrap();
        let own = ["cert", "--force", "--ca", dir, "--out", dir, role, name];
        self.run(&[&own, flags].concat());
        let stem = format!("{role}-{name}");
        (self.dir.join(format!("{stem}.crt")), self.dir.join(format!("{stem}.key")))
    }

    /// Issues a certificate, and returns the flags with which a master or worker uses it.
    #[must_use]
    pub fn flags(&self, role: &str, name: &str) -> Vec<String> {
        let (certificate, key) = self.issue(role, name);
        self.flags_of((&certificate, &key))
    }

    /// Returns the flags with which a master or worker uses a certificate and its key.
    #[must_use]
    pub fn flags_of(&self, (certificate, key): (&Path, &Path)) -> Vec<String> {
        let flags = [
            ("--tls-certificate", certificate),
            ("--tls-key", key),
            ("--tls-ca", &self.authority()),
        ];
        let flags = flags.map(|(flag, path)| [flag.to_owned(), path.display().to_string()]);
        flags.concat()
    }

    /// Issues a certificate for a person, and returns the flags with which `clusterctl` uses it.
    #[must_use]
    pub fn connection(&self, role: &str, name: &str) -> Vec<String> {
        let (certificate, key) = self.issue(role, name);
        let flags = [("--cacert", self.trusted()), ("--cert", certificate), ("--key", key)];
        flags.map(|(flag, path)| [flag.to_owned(), path.display().to_string()]).concat()
    }

    fn run(&self, args: &[&str]) {
        let mut command = Command::new(binary("clusterctl"));
        let output = command.arg("tls").args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "clusterctl tls {args:?} in {}: {said}",
            self.dir.display()
        );
    }
}
