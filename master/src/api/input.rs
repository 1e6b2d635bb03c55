//! Reads the queries and bodies of clients, within bounds, and reports every fault as a problem.

use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use cluster_state::LogIndex;
use http_body_util::BodyExt;
use proto::consistency::Consistency;
use proto::memory::MemoryCharge;
use proto::problem::{ErrorKind, Outcome, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::answer::Refusal;
use crate::operations::Reading;

/// Time for a body to arrive: 8 MiB at less than 3 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is so many times too large is not read on.
const DISCARDED_BODIES_MAX: usize = 8;
/// Default and longest wait of a blocking read.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// The parameters of a query; unknown ones are refused by name.
pub(super) struct Params<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(params)| Self(params)).map_err(|rejection| {
            // The cause says what is wrong; the rejection itself only that something is.
            let cause = std::error::Error::source(&rejection).map(ToString::to_string);
            let detail = cause.unwrap_or_else(|| rejection.to_string());
            let kind = match detail.contains("unknown field") {
                true => ErrorKind::UnknownField,
                false => ErrorKind::Malformed,
            };
            Refusal(Problem::new(kind, format!("query: {detail}")))
        })
    }
}

/// Of a path that takes no parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// The id in a path.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|rejection| Problem::new(ErrorKind::Malformed, rejection.to_string()).into())
    }
}

/// Of a path that shows one thing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadParams {
    #[serde(default)]
    consistency: String,
}

impl ReadParams {
    /// Returns the read that a request asks for, stale by default: for answers that must not need a
    /// leader.
    pub(super) fn reading_of_what_is_seen_here(&self) -> Result<Reading, Problem> {
        if self.consistency.is_empty() { Ok(Consistency::Stale.into()) } else { self.reading() }
    }

    pub(super) fn reading(&self) -> Result<Reading, Problem> {
        Consistency::parse(&self.consistency).map(Reading::from)
    }
}

/// Returns the kind of read for a collection.
pub(super) fn reading(
    consistency: &str,
    index: Option<u64>,
    wait: Option<&str>,
) -> Result<Reading, Problem> {
    let consistency = Consistency::parse(consistency)?;
    let patience = wait.map(|wait| duration("wait", wait)).transpose()?;
    match (index, patience) {
        (None, None) => Ok(consistency.into()),
        (None, Some(_)) => {
            Err(Problem::new(ErrorKind::Malformed, "wait needs an index to wait for"))
        }
        (Some(index), patience) => {
            let patience = patience.unwrap_or(WAIT_DEFAULT).min(WAIT_MAX);
            Ok(Reading { consistency, beyond: Some((LogIndex(index), patience)) })
        }
    }
}

/// Parses a duration in a query.
pub(super) fn duration(name: &str, text: &str) -> Result<Duration, Problem> {
    humantime::parse_duration(text).map_err(|_| {
        let detail = format!("{name} '{text}' is not a duration such as 250ms, 30s or 5m");
        Problem::new(ErrorKind::Malformed, detail)
    })
}

/// A body that has arrived. Its bytes count against those of all bodies until it is dropped.
#[derive(Debug)]
pub(super) struct ReceivedBody {
    bytes: BytesMut,
    charge: MemoryCharge,
}

impl Deref for ReceivedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a whole body of JSON.
pub(super) async fn json_body(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<ReceivedBody, Problem> {
    check_media_type(headers)?;
    in_time(collect(body, api.bodies.open(), api.request_bytes_max)).await
}

async fn in_time(
    collected: impl Future<Output = Result<ReceivedBody, Problem>>,
) -> Result<ReceivedBody, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Ok(collected) => collected,
        Err(_) => Err(rejected(ErrorKind::RequestTimeout, "the body did not arrive in time")),
    }
}

/// Reads a body within its bounds. The rest of a body that is too large, or too much beside others,
/// is read for a while and discarded: a client that is cut off while it sends does not see the
/// answer.
async fn collect(
    mut body: Body,
    charge: MemoryCharge,
    bytes_max: usize,
) -> Result<ReceivedBody, Problem> {
    let mut received = Ok(ReceivedBody { bytes: BytesMut::new(), charge });
    let mut arrived = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| rejected(ErrorKind::Malformed, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        arrived = arrived.saturating_add(data.len());
        if arrived > bytes_max.saturating_mul(DISCARDED_BODIES_MAX) {
            break;
        }
        received = received.and_then(|received| received.with(&data, bytes_max));
    }
    received
}

impl ReceivedBody {
    fn with(mut self, data: &[u8], bytes_max: usize) -> Result<Self, Problem> {
        if self.bytes.len().saturating_add(data.len()) > bytes_max {
            return Err(too_large(bytes_max));
        }
        if !self.charge.admits(data.len()) {
            let detail = "too many bytes of request bodies are on their way in";
            return Err(rejected(ErrorKind::Overloaded, detail));
        }
        self.bytes.extend_from_slice(data);
        Ok(self)
    }
}

fn too_large(bytes_max: usize) -> Problem {
    rejected(ErrorKind::TooLarge, format!("the body has more than {bytes_max} bytes"))
}

fn rejected(kind: ErrorKind, detail: impl Into<String>) -> Problem {
    Problem::new(kind, detail).with_outcome(Outcome::Rejected)
}

/// Parses one value of JSON.
pub(super) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    proto::json::read(body).map_err(Problem::from)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|given| given.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let detail = match given {
        Some(given) => format!("the body is '{given}', not application/json"),
        None => "the request has no Content-Type: application/json is expected".to_owned(),
    };
    Err(rejected(ErrorKind::UnsupportedMediaType, detail))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures_util::StreamExt;
    use proto::memory::MemoryBudget;

    use super::*;

    fn headers(media_type: &'static str) -> HeaderMap {
        let media_type = HeaderValue::from_static(media_type);
        HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)])
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        let bodies = MemoryBudget::new(100);
        let body = collect(Body::from("[1,2]"), bodies.open(), 5).await;
        assert_eq!(&*body.unwrap(), b"[1,2]");
        let problem = collect(Body::from("[1,2] "), bodies.open(), 5).await.unwrap_err();
        assert_eq!(problem.kind, ErrorKind::TooLarge);
        assert_eq!(problem.outcome, Some(Outcome::Rejected));
    }

    #[tokio::test]
    async fn bodies_together_have_a_bound() {
        let bodies = MemoryBudget::new(8);
        let first = collect(Body::from("[1,2]"), bodies.open(), 5).await.unwrap();
        let problem = collect(Body::from("[1,2]"), bodies.open(), 5).await.unwrap_err();
        assert_eq!(problem.kind, ErrorKind::Overloaded);
        assert_eq!(problem.outcome, Some(Outcome::Rejected));
        drop(first);
        assert!(collect(Body::from("[1,2]"), bodies.open(), 5).await.is_ok());
    }

    #[test]
    fn a_body_that_is_not_json_by_its_own_word_is_refused() {
        assert!(check_media_type(&headers("application/json; charset=utf-8")).is_ok());
        for headers in [headers("text/plain"), HeaderMap::new()] {
            let problem = check_media_type(&headers).unwrap_err();
            assert_eq!(problem.kind, ErrorKind::UnsupportedMediaType);
        }
    }

    #[tokio::test]
    async fn a_body_that_is_far_too_large_is_not_read_to_its_end() {
        let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>("x"));
        let body = Body::from_stream(endless);
        let problem = collect(body, MemoryBudget::new(100).open(), 5).await.unwrap_err();
        assert_eq!(problem.kind, ErrorKind::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_in_time_is_refused() {
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("[")]);
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        let problem = in_time(collect(body, MemoryBudget::new(100).open(), 5)).await.unwrap_err();
        assert_eq!(problem.kind.http_status(), 408);
        assert_eq!(problem.outcome, Some(Outcome::Rejected));
    }

    #[test]
    fn deeply_nested_json_is_refused() {
        let deep = "[".repeat(100_000);
        let problem = from_json::<serde_json::Value>(deep.as_bytes()).unwrap_err();
        assert_eq!(problem.kind, ErrorKind::Malformed);
    }

    #[test]
    fn a_blocking_read_needs_an_index() {
        let read = reading("stale", Some(7), Some("1s")).unwrap();
        assert_eq!(read.beyond, Some((LogIndex(7), Duration::from_secs(1))));
        assert_eq!(read.consistency, Consistency::Stale);
        assert!(reading("", None, Some("1s")).is_err());
        assert!(reading("", Some(7), Some("soon")).is_err());
        assert!(reading("fresh", None, None).is_err());
    }
}
