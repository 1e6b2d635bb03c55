//! Counts of requests that were refused for who made them, and of failures to write the file of the
//! trail, which tells of them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Metrics;

/// Reason that a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It came without credentials where some are needed, or with wrong ones.
    Unauthenticated,
    /// Its caller has no right to it.
    Forbidden,
    /// Its address has presented too many wrong credentials.
    TooManyFailures,
    /// Its caller has made too many of late.
    TooManyRequests,
}

impl Refused {
    const ALL: [Self; 4] =
        [Self::Unauthenticated, Self::Forbidden, Self::TooManyFailures, Self::TooManyRequests];

    const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::TooManyFailures => "too-many-failures",
            Self::TooManyRequests => "too-many-requests",
        }
    }
}

/// The counts.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    by_reason: Family<[(&'static str, &'static str); 1], Counter>,
    trail_failures: Counter,
}

impl Refusals {
    /// All counts at zero: a series that is there before the first of its kind shows that there was
    /// none.
    pub(super) fn new() -> Self {
        let refused = Family::default();
        for reason in Refused::ALL {
            drop(refused.get_or_create(&[("reason", reason.name())]));
        }
        Self { by_reason: refused, trail_failures: Counter::default() }
    }

    pub(super) fn register(self, to: &mut Registry) {
        to.register("refused_requests", "Requests refused for who made them", self.by_reason);
        to.register(
            "audit_file_failures",
            "Failures to write the file of the trail of orders",
            self.trail_failures,
        );
    }
}

impl Metrics {
    /// A request was refused for who made it.
    pub(crate) fn on_refused(&self, reason: Refused) {
        let refused = &self.shared.everywhere.refusals.by_reason;
        refused.get_or_create(&[("reason", reason.name())]).inc();
    }

    /// The file of the trail could not be written.
    pub(crate) fn on_trail_failed(&self) {
        self.shared.everywhere.refusals.trail_failures.inc();
    }
}
