//! Ids of requests, by which answers, log lines and the trail are found that belong together.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// Longest id that a client may give: one of OpenTelemetry or of a proxy fits.
const GIVEN_BYTES_MAX: usize = 64;

/// Id of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestId {
    /// The client has given it, or a proxy before this master.
    Given(Arc<str>),
    /// This master has drawn it. It costs nothing until somebody reads it.
    Drawn {
        /// A random number of this process.
        process: u64,
        /// Number of the request.
        number: u64,
    },
}

impl RequestId {
    /// Header of requests and answers, and key of gRPC's metadata.
    pub(crate) const HEADER: HeaderName = HeaderName::from_static(proto::problem::REQUEST_ID_KEY);

    /// Returns the id that a request has, or draws one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&Self::HEADER).and_then(|value| value.to_str().ok());
        match given.filter(|text| is_safe(text)) {
            Some(text) => Self::Given(text.into()),
            None => Self::draw(),
        }
    }

    /// Draws an id that no other request of any master has.
    pub(crate) fn draw() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| Uuid::new_v4().as_u64_pair().0);
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Self::Drawn { process: *PROCESS, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Returns true if a text may stand in a log line, a header and the trail.
fn is_safe(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=GIVEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_word)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => f.write_str(text),
            Self::Drawn { process, number } => write!(f, "{process:016x}-{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(text: &str) -> String {
        let value = HeaderValue::from_str(text).unwrap();
        RequestId::of(&HeaderMap::from_iter([(RequestId::HEADER, value)])).to_string()
    }

    #[test]
    fn a_given_id_is_kept_if_it_is_safe_in_a_log_line() {
        assert_eq!(of("req-7.a_B"), "req-7.a_B");
        for text in ["", "a b", "a\"b", "a,b", &"x".repeat(65)] {
            let drawn = of(text);
            assert_ne!(drawn, text);
            assert!(is_safe(&drawn), "{drawn}");
        }
    }

    #[test]
    fn no_two_requests_draw_the_same_id() {
        let ids = [(); 3].map(|()| RequestId::of(&HeaderMap::new()).to_string());
        assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    }
}
