//! Requests that a web page of somebody else has a browser make: a page that is open on an
//! operator's machine reaches whatever that machine reaches. Browsers say where a request comes
//! from, and which name they looked up.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use proto::problem::{ErrorKind, Outcome, Problem};

use super::answer::Refusal;

/// Header in which a browser tells the relation of the asking page to the requested site.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Hosts and names from which requests are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Names under which this master is known beside its addresses.
    pub(crate) names: Arc<[String]>,
    /// Nobody but this machine reaches the listener, so that a browser's name for it is either one
    /// of those or a trick.
    pub(crate) is_local: bool,
    /// True if HTTP is encrypted.
    pub(crate) is_secured: bool,
}

pub(super) async fn refuse(State(reach): State<Reach>, request: Request, next: Next) -> Response {
    match reach.check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => Refusal(problem).into_response(),
    }
}

impl Reach {
    pub(super) fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let host = text(headers, &HOST);
        if self.is_local && host.is_some_and(|host| !self.is_known(host)) {
            let host = host.unwrap_or_default();
            let detail = format!(
                "this master listens on its own machine only and is not known as '{host}': set \
                 http_names to serve under that name"
            );
            return Err(refused(method, detail));
        }

        // A WebSocket is opened by a GET, and read by the page that opens it.
        if (*method == Method::GET && path != "/ws") || is_harmless(method) {
            return Ok(());
        }

        let site = text(headers, &FETCH_SITE);
        if let Some(site) = site.filter(|site| matches!(*site, "cross-site" | "same-site")) {
            let detail = format!("the request comes from a page of another site ({site})");
            return Err(refused(method, detail));
        }
        match text(headers, &ORIGIN) {
            Some(origin) if !self.is_own(origin, host) => {
                let detail = format!("the request comes from a page of another origin: '{origin}'");
                Err(refused(method, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns true if the page of that origin belongs to this master, by the name that was
    /// requested.
    fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        // Whoever is on the network can serve a page in clear text under any name.
        if self.is_secured && scheme != "https" {
            return false;
        }
        let is_asked_for = host.is_some_and(|host| host.eq_ignore_ascii_case(authority));
        is_asked_for || host_of(authority).is_some_and(|name| self.is_named(&name))
    }

    /// Names that no public DNS gives out lead here because somebody on this machine says so.
    fn is_known(&self, host: &str) -> bool {
        let Some(name) = host_of(host) else { return false };
        let is_address = name.parse::<IpAddr>().is_ok();
        let is_unqualified = !name.contains('.');
        is_address || is_unqualified || name.ends_with(".localhost") || self.is_named(&name)
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

fn is_harmless(method: &Method) -> bool {
    [Method::HEAD, Method::OPTIONS].contains(method)
}

/// Returns the host of `host:port`, in lower case and without the brackets of IPv6.
fn host_of(authority: &str) -> Option<String> {
    let authority = authority.parse::<Authority>().ok()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // What is no text is no name of ours.
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

fn refused(method: &Method, detail: String) -> Problem {
    let problem = Problem::new(ErrorKind::Forbidden, detail);
    if *method == Method::GET { problem } else { problem.with_outcome(Outcome::Rejected) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn reach(is_local: bool) -> Reach {
        Reach { names: ["cloudai.example".to_owned()].into(), is_local, is_secured: false }
    }

    fn is_let_in(
        reach: &Reach,
        method: &Method,
        path: &str,
        given: &[(&'static str, &str)],
    ) -> bool {
        let given = given.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        reach.check(method, path, &given.collect()).is_ok()
    }

    #[test]
    fn a_page_in_clear_text_is_none_of_an_encrypted_master() {
        let secured = Reach { is_secured: true, ..reach(false) };
        for (scheme, is_own) in [("https", true), ("http", false)] {
            let origin = format!("{scheme}://node1:8080");
            let headers = [("host", "node1:8080"), ("origin", origin.as_str())];
            let let_in = is_let_in(&secured, &Method::POST, "/api/workers/w/drain", &headers);
            assert_eq!(let_in, is_own, "{origin}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing_and_watches_nothing() {
        let from = |headers: &[(&'static str, &str)]| {
            let post = is_let_in(&reach(false), &Method::POST, "/api/workers/w/drain", headers);
            assert_eq!(post, is_let_in(&reach(false), &Method::GET, "/ws", headers));
            assert!(is_let_in(&reach(false), &Method::GET, "/api/tasks", headers));
            post
        };
        assert!(from(&[]));
        assert!(from(&[("host", "node1:8080"), ("origin", "http://node1:8080")]));
        assert!(from(&[("host", "node1:8080"), ("origin", "https://cloudai.example")]));
        assert!(from(&[("host", "node1:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(from(&[("host", "node1:8080"), ("sec-fetch-site", "none")]));

        assert!(!from(&[("host", "node1:8080"), ("origin", "http://evil.example")]));
        assert!(!from(&[("host", "node1:8080"), ("origin", "http://node1:8081")]));
        assert!(!from(&[("host", "node1:8080"), ("origin", "null")]));
        assert!(!from(&[("sec-fetch-site", "cross-site")]));
        assert!(!from(&[("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn a_public_name_does_not_lead_to_a_listener_of_this_machine() {
        let known = |host: &str| {
            let headers = [("host", host)];
            assert!(is_let_in(&reach(false), &Method::GET, "/api/tasks", &headers));
            is_let_in(&reach(true), &Method::GET, "/api/tasks", &headers)
        };
        for host in ["127.0.0.1:8080", "[::1]:8080", "localhost", "dev.localhost:1", "master"] {
            assert!(known(host), "{host}");
        }
        assert!(known("CloudAI.example:8080"));
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "", "a@b.c"] {
            assert!(!known(host), "{host}");
        }
    }
}
