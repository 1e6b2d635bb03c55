//! The authority whose certificates a test's own clients show and believe.

use super::{Cluster, builder};
use crate::certificates::Certificates;

impl Cluster {
    /// Has the test's own clients, and workers that are made from now on, use these certificates.
    pub fn use_certificates(&mut self, certificates: Certificates) {
        self.web = builder::web(Some(&certificates));
        self.certificates = Some(certificates);
    }
}
