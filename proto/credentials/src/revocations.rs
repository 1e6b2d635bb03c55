//! Knowledge of what was revoked, which the process has and this package asks for.

use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;

/// Tells whether a certificate was revoked.
#[derive(Clone)]
pub(crate) struct Revocations(Arc<dyn Fn(&Certificate) -> bool + Send + Sync>);

impl Revocations {
    pub(crate) fn new(is_revoked: impl Fn(&Certificate) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_revoked))
    }

    pub(crate) fn have(&self, certificate: &Certificate) -> bool {
        self.0(certificate)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revocations(…)")
    }
}
