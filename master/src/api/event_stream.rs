//! `GET /api/events`: events as they happen, as Server-Sent Events. Each has an object of `/ws` for its
//! data, and the last one of each index has the index for its id, from which a client resumes.

use std::fmt::Write;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use cluster_state::LogIndex;
use futures_util::{Stream, stream};
use proto::problem::{ErrorKind, Problem};

use super::Api;
use super::answer::Refusal;
use super::input::Params;
use crate::access::Caller;
use crate::events::{self, Place, Subscription};
use crate::operations::{Batch, Operations, WatchSlot, Watcher};

/// Index of the last event that a client has had, as a browser sends it when it connects again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Silence after which a comment says that the stream is still open: shorter than the patience of
/// usual proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Time after which browsers are to connect again.
const RETRY_MS: u32 = 1_000;

/// `GET /api/events`.
pub(super) async fn open(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(pairs): Params<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut subscription = subscription(pairs)?;
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) {
        subscription.from_index = Some(index("Last-Event-ID", last.to_str().unwrap_or("?"))?);
    }
    let slot = api.operations.watch_slot()?;
    let here = api.operations.events().now();
    let watcher = api.operations.watch(subscription, here, &caller).await?;
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (X_ACCEL_BUFFERING, "no"),
    ];
    let reader = Reader { operations: api.operations, watcher, _slot: slot };
    Ok((head, Body::from_stream(blocks(reader))).into_response())
}

/// Reads a query. Parameters that name several things are lists, or are given several times.
pub(super) fn subscription(pairs: Vec<(String, String)>) -> Result<Subscription, Problem> {
    let malformed = |detail: String| Problem::new(ErrorKind::Malformed, format!("query: {detail}"));
    let mut wanted = Subscription::default();
    for (name, value) in pairs {
        let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        let named = match name.as_str() {
            "subscribe" => wanted.with_names(names, [], []),
            "type" => wanted.with_names([], names, []),
            "task" => wanted.with_names([], [], names),
            "label" => {
                let Some((key, value)) = value.split_once('=') else {
                    return Err(malformed(format!("label '{value}' is not key=value")));
                };
                wanted.labels.insert(key.to_owned(), value.to_owned());
                Ok(wanted)
            }
            "from_index" => {
                wanted.from_index = Some(index("from_index", &value)?);
                Ok(wanted)
            }
            "cluster_id" => {
                wanted.cluster_id = Some(value);
                Ok(wanted)
            }
            _ => {
                let detail = format!(
                    "query: unknown field `{name}`, expected one of `subscribe`, `type`, `task`, \
                     `label`, `from_index`, `cluster_id`"
                );
                return Err(Problem::new(ErrorKind::UnknownField, detail));
            }
        };
        wanted = named.map_err(malformed)?;
    }
    wanted.checked().map_err(malformed)
}

fn index(name: &str, text: &str) -> Result<LogIndex, Problem> {
    text.parse().map(LogIndex).map_err(|_| {
        let detail = format!("{name} '{text}' is not the index of an event");
        Problem::new(ErrorKind::Malformed, detail)
    })
}

/// One client's stream.
struct Reader {
    operations: Operations,
    watcher: Watcher,
    _slot: WatchSlot,
}

/// Returns the stream, in blocks of whole events. It ends with the reason.
fn blocks(reader: Reader) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let mut first = format!("retry: {RETRY_MS}\n");
    bookmark(&mut first, reader.watcher.place());
    let rest = stream::unfold(Some(reader), async |reader| {
        let mut reader = reader?;
        let (block, is_last) = reader.next().await;
        Some((Ok(Bytes::from(block)), (!is_last).then_some(reader)))
    });
    futures_util::StreamExt::chain(stream::iter([Ok(Bytes::from(first))]), rest)
}

impl Reader {
    /// Returns the next events, and true if none follow.
    async fn next(&mut self) -> (String, bool) {
        let stopping = self.operations.stopping().clone();
        let next = tokio::time::timeout(KEEP_ALIVE, self.watcher.next());
        let told = tokio::select! {
            () = stopping.cancelled() => return (end("this master is stopping"), true),
            told = next => told,
        };
        let mut block = String::new();
        match told {
            Ok(Ok(batch)) => self.write(batch, &mut block),
            Ok(Err(slow)) => return (end(&slow.to_string()), true),
            Err(_) => {
                block.push_str(": still here\n");
                bookmark(&mut block, self.watcher.place());
            }
        }
        (block, false)
    }

    fn write(&self, batch: Batch, block: &mut String) {
        let cluster = self.operations.cluster_id();
        let cluster = cluster.as_deref();
        match batch {
            Batch::Events(told) => {
                for told in told {
                    let id = (!told.more).then_some(told.index);
                    event(block, id, &events::replicated(cluster, &told));
                }
            }
            Batch::Usage(samples) => {
                for sample in samples {
                    event(block, None, &events::telemetry(&sample));
                }
            }
            Batch::Compacted { oldest } => {
                let before = LogIndex(oldest.0.saturating_sub(1));
                event(block, Some(before), &events::compacted(cluster, oldest));
            }
        }
    }
}

/// Writes an event whose data is one line.
fn event(block: &mut String, id: Option<LogIndex>, line: &str) {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    // Writing to a string does not fail.
    write!(block, "{id}data: {line}\n\n").ok();
}

/// Writes an event without data, which clients take note of and do not show: a client that wants few
/// events resumes at what it has seen go by. Ends the block.
fn bookmark(block: &mut String, place: Place) {
    if place.is_whole() {
        writeln!(block, "id: {}", place.index()).ok();
    }
    block.push('\n');
}

fn end(reason: &str) -> String {
    let mut block = String::new();
    event(&mut block, None, &events::closed(reason));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Subscription, String> {
        let uri = format!("/api/events?{query}").parse().unwrap();
        let axum::extract::Query(pairs) = axum::extract::Query::try_from_uri(&uri).unwrap();
        subscription(pairs).map_err(|problem| problem.detail)
    }

    #[test]
    fn a_query_says_the_same_as_a_message() {
        let text = r#"{"subscribe": ["workers", "tasks"], "types": ["task_status"],
                       "tasks": ["t1", "t2", "t3"], "labels": {"team": "x=y", "zone": "a"},
                       "from_index": 7, "cluster_id": "c1"}"#;
        let query = "subscribe=workers,tasks&type=task_status&task=t1,t2&task=t3&label=team%3Dx%3Dy\
                     &label=zone=a&from_index=7&cluster_id=c1";
        assert_eq!(read(query), Subscription::parse(text));
        assert_eq!(read(""), Ok(Subscription::default()));
    }

    #[test]
    fn what_a_query_cannot_mean_is_refused() {
        for (query, fault) in [
            ("subscribe=weather", "query: unknown variant `weather`"),
            ("type=storm", "query: unknown variant `storm`"),
            ("task=17", "query: '17' is not a task id"),
            ("label=team", "query: label 'team' is not key=value"),
            ("from_index=soon", "from_index 'soon' is not the index of an event"),
            ("from=7", "query: unknown field `from`"),
            ("subscribe=workers&task=t1", "query: tasks or labels are named"),
        ] {
            let told = read(query).unwrap_err();
            assert!(told.starts_with(fault), "{told}");
        }
    }

    #[test]
    fn the_last_event_of_an_index_alone_has_an_id() {
        let mut block = String::new();
        event(&mut block, None, "{}");
        event(&mut block, Some(LogIndex(7)), "{}");
        bookmark(&mut block, Place::from(LogIndex(9)));
        assert_eq!(block, "data: {}\n\nid: 7\ndata: {}\n\nid: 9\n\n");
    }
}
