//! Keeps what the cluster says about trust in a file beside the log, and in use.

use cluster_state::{Fingerprint, IssuerRecord};
use credentials::{ClusterTrust, Credentials};

use super::{Issuer, KeyError, hexadecimal};

impl Issuer {
    /// Returns the version of what this master trusts; zero while it has not looked.
    pub(crate) fn trust_version(&self) -> u64 {
        *self.shared.trusted.lock()
    }

    /// Makes sure that this master trusts what the record says, and nothing that it has dropped.
    /// Returns false if it cannot.
    pub(super) async fn keep_trust(&self, record: &IssuerRecord) -> Result<bool, KeyError> {
        let version = record.index.0;
        let Some(credentials) = self.credentials().cloned() else { return Ok(true) };
        if self.trust_version() == version {
            return Ok(true);
        }
        let (trust, seen) = (cluster_trust(record), credentials.clone());
        let kept = tokio::task::spawn_blocking(move || keep(&trust, &seen)).await;
        // Work that the end of the process cut short is done at the next start.
        kept.unwrap_or(Ok(()))?;
        let is_in_use = is_trusted(record, &credentials);
        if is_in_use {
            *self.shared.trusted.lock() = version;
        }
        Ok(is_in_use)
    }
}

/// Returns what the record adds to files, and what it takes from them.
pub(crate) fn cluster_trust(record: &IssuerRecord) -> ClusterTrust {
    if !record.has_rotated() {
        return ClusterTrust::default();
    }
    let dropped = record.dropped_roots().map(|root| hexadecimal(&root.digest)).collect();
    ClusterTrust { added: record.roots.clone(), dropped }
}

fn keep(trust: &ClusterTrust, credentials: &Credentials) -> Result<(), KeyError> {
    let Some(path) = credentials.cluster_file() else { return Ok(()) };
    let kept = trust.keep(path);
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    if kept.map_err(failed)? {
        match credentials.refresh() {
            Ok(_) => tracing::info!("what the cluster trusts has changed"),
            // It stays a straggler, which the status names.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what the cluster trusts from now on cannot be used here");
            }
        }
    }
    Ok(())
}

fn is_trusted(record: &IssuerRecord, credentials: &Credentials) -> bool {
    let rotation = record.rotation.as_ref();
    let wanted: Vec<Fingerprint> = rotation
        .map(|rotation| vec![rotation.from.root.digest, rotation.to.root.digest])
        .unwrap_or_default();
    wanted.iter().all(|root| credentials.trusts(root))
        && !record.dropped_roots().any(|root| credentials.trusts(&root.digest))
}
