//! Counts about the keys of an identity provider.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

type IssuerLabel = [(&'static str, Arc<str>); 1];

/// The counts, by issuer. There are none where no issuer is trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct IssuerSeries {
    keys: Family<IssuerLabel, Gauge>,
    failures: Family<IssuerLabel, Counter>,
}

impl IssuerSeries {
    pub(super) fn register(self, to: &mut Registry) {
        let help = "Keys with which tokens of the identity provider are checked";
        to.register("oidc_keys", help, self.keys);
        let help = "Looks for keys of the identity provider that failed";
        to.register("oidc_key_failures", help, self.failures);
    }
}

impl Metrics {
    /// The keys of an issuer were looked for; so many are in use.
    pub(crate) fn on_issuer_asked(&self, issuer: &str, keys: usize, has_failed: bool) {
        let IssuerSeries { keys: held, failures } = &self.shared.everywhere.issuer;
        let label = [("issuer", Arc::from(issuer))];
        held.get_or_create(&label).set(i64::try_from(keys).unwrap_or(i64::MAX));
        failures.get_or_create(&label).inc_by(u64::from(has_failed));
    }
}
