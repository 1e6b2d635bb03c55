//! Counts and times of answered HTTP requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Metrics, seconds_buckets};

/// The series, by route.
#[derive(Clone, Debug)]
pub(super) struct HttpSeries {
    requests: Family<HttpLabels, Counter>,
    seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

/// One answered HTTP request: the route as written in the router, never the path itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HttpLabels {
    route: RouteLabel,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RouteLabel(Arc<str>);

impl EncodeLabelSet for RouteLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("route", &*self.0)].encode(encoder)
    }
}

impl EncodeLabelSet for HttpLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.route.encode(encoder)?;
        [("method", self.method)].encode(encoder)?;
        [("status", self.status)].encode(encoder)
    }
}

impl HttpSeries {
    pub(super) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(seconds_buckets());
        Self { requests: Family::default(), seconds: Family::new_with_constructor(histogram) }
    }

    pub(super) fn register(self, to: &mut Registry) {
        to.register("http_requests", "HTTP requests answered", self.requests);
        to.register("http_request_seconds", "Time to answer an HTTP request", self.seconds);
    }
}

impl Metrics {
    /// An HTTP request was answered.
    pub(crate) fn on_http_request(
        &self,
        route: &str,
        method: &'static str,
        status: u16,
        took: Duration,
    ) {
        let route = RouteLabel(route.into());
        let HttpSeries { requests, seconds } = &self.shared.everywhere.http;
        seconds.get_or_create(&route).observe(took.as_secs_f64());
        requests.get_or_create(&HttpLabels { route, method, status }).inc();
    }
}
