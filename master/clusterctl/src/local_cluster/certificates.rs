//! Certificates of a local cluster, in a directory beside its data.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use credentials::{Credentials, Files, TrustFiles};

use super::{LocalClusterError, Role};
use crate::authority::{AuthorityDir, AuthorityError, Order, ROOT};

const DIRECTORY: &str = "certificates";
const CLUSTER: &str = "dev";
/// Person for whom one is issued.
const PERSON: &str = "me";

/// An authority, and what it has issued.
#[derive(Debug)]
pub(super) struct Certificates {
    dir: PathBuf,
    authority: AuthorityDir,
    own: Files,
}

impl Certificates {
    /// Opens those of an earlier run in the same directory, or makes them.
    pub(super) fn open(data_dir: &Path) -> Result<Self, AuthorityError> {
        let dir = data_dir.join(DIRECTORY);
        let authority = match AuthorityDir::open(&dir) {
            Err(AuthorityError::Read { .. }) if !dir.join(ROOT).exists() => {
                AuthorityDir::create(&dir, CLUSTER)?
            }
            opened => opened?,
        };
        let own = issue(&authority, &dir, credentials::Role::Admin, PERSON)?;
        Ok(Self { dir, authority, own })
    }

    /// Returns the flags with which a process uses a new certificate.
    pub(super) fn arguments(&self, role: Role) -> Result<Vec<OsString>, AuthorityError> {
        let (holder, name) = match role {
            Role::Master(number) => (credentials::Role::Master, number.to_string()),
            Role::Worker(_) => (credentials::Role::Worker, role.to_string()),
        };
        let Files { certificate, key, trusted } = issue(&self.authority, &self.dir, holder, &name)?;
        let flags = [("--tls-certificate", certificate), ("--tls-key", key), ("--tls-ca", trusted)];
        Ok(flags.into_iter().flat_map(|(flag, path)| [flag.into(), path.into()]).collect())
    }

    /// Returns the files of whoever uses the cluster.
    pub(super) const fn own(&self) -> &Files {
        &self.own
    }

    /// Returns the certificates of whoever uses the cluster.
    pub(super) fn credentials(&self) -> Result<Credentials, LocalClusterError> {
        Ok(Credentials::load(TrustFiles::from(self.own.clone()))?)
    }
}

fn issue(
    authority: &AuthorityDir,
    dir: &Path,
    role: credentials::Role,
    name: &str,
) -> Result<Files, AuthorityError> {
    let order = Order { role, name, hosts: &[], life: None, replaces: true };
    Ok(authority.issue(&order, dir)?.files)
}
