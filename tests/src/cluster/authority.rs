//! The authority whose certificates a test's own clients show and believe.

use eventually::{eventually, require};

use super::{CONNECT_PATIENCE, Cluster, builder};
use crate::certificates::Certificates;

impl Cluster {
    /// Has the test's own clients, and workers that are made from now on, use these certificates.
    pub fn use_certificates(&mut self, certificates: Certificates) {
        self.web = builder::web(Some(&certificates));
        self.certificates = Some(certificates);
    }

    /// Has the cluster issue certificates by itself, of its authority.
    pub async fn adopt_issuer(&self) {
        let root = self.certificates().unwrap().authority();
        let dir = root.parent().unwrap().display().to_string();
        // A new cluster reaches the level that this needs a moment after it has a leader.
        eventually("the issuer is adopted", CONNECT_PATIENCE, async || {
            let outcome = self.clusterctl(&["tls", "adopt", &dir]).await;
            require(outcome.code == 0, || outcome.stderr.clone())
        })
        .await;
    }
}
