//! Watches events across broken connections and changes of leaders.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use super::{AttemptFailure, BACKOFF_MAX, Client, ClientError, Repeat, task_service};
use crate::v1;

/// A master sends a sign of life every 10 s: one that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(25);

/// Events from one place on. When the connection breaks, they are requested again from the place that
/// was reached, from any master: none is left out, and none is told twice.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    request: v1::WatchRequest,
    messages: Streaming<v1::WatchedEvent>,
    position: Position,
    /// Time since when nothing has arrived for lack of a connection.
    broken_since: Option<Instant>,
}

/// Position among the events.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Position {
    /// Index up to which everything was told, in which cluster; absent before the first message.
    whole: Option<(u64, Option<String>)>,
    /// Number of events after it that were told, too.
    part: usize,
    /// Number of these that are yet to come again after a break.
    again: usize,
}

impl Position {
    /// Advances past a message, and returns the event in it if it is a new one.
    fn take(&mut self, message: v1::WatchedEvent) -> Option<String> {
        let v1::WatchedEvent { json, index, cluster_id } = message;
        let whole = index.map(|index| (index, cluster_id));
        if json.is_empty() {
            // It also comes first, before what is told again.
            if self.part == 0 {
                self.whole = whole.or(self.whole.take());
            }
            return None;
        }
        if is_of_type(&json, "telemetry") {
            return Some(json);
        }
        if is_of_type(&json, "compacted") {
            *self = Self { whole, ..Self::default() };
            return Some(json);
        }
        if self.again > 0 {
            self.again -= 1;
            return None;
        }
        match whole {
            Some(whole) => *self = Self { whole: Some(whole), ..Self::default() },
            None => self.part += 1,
        }
        Some(json)
    }

    /// Requests events from this position on.
    fn resume(&mut self, request: &v1::WatchRequest) -> v1::WatchRequest {
        self.again = self.part;
        let mut request = request.clone();
        if let Some((index, cluster_id)) = self.whole.clone() {
            (request.from_index, request.cluster_id) = (Some(index), cluster_id);
        }
        request
    }
}

/// Returns true for an event of that type. The type comes first.
fn is_of_type(json: &str, name: &str) -> bool {
    let rest = json.strip_prefix(r#"{"type":""#).and_then(|rest| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('"'))
}

impl Client {
    /// Begins to watch events.
    pub async fn watch(&self, request: v1::WatchRequest) -> Result<EventStream, ClientError> {
        Ok(EventStream {
            client: self.clone(),
            messages: open(self, request.clone()).await?,
            request,
            position: Position::default(),
            broken_since: None,
        })
    }
}

async fn open(
    client: &Client,
    request: v1::WatchRequest,
) -> Result<Streaming<v1::WatchedEvent>, ClientError> {
    client
        .call(client.rules(Repeat::Always), request, |channel, request| async move {
            task_service(channel).watch(request).await
        })
        .await
}

impl EventStream {
    /// Returns the next event, as one object of JSON.
    pub async fn next(&mut self) -> Result<String, ClientError> {
        loop {
            let address = self.client.target();
            let failure = match tokio::time::timeout(SILENCE_MAX, self.messages.message()).await {
                Ok(Ok(Some(message))) => {
                    self.broken_since = None;
                    if let Some(event) = self.position.take(message) {
                        return Ok(event);
                    }
                    continue;
                }
                Ok(Ok(None)) => AttemptFailure::Broken {
                    address: address.clone(),
                    detail: "the stream of events has ended".to_owned(),
                },
                Ok(Err(status)) => self.client.on_status(&address, &status),
                Err(_) => AttemptFailure::TimedOut,
            };
            self.reopen(&address, failure).await?;
        }
    }

    async fn reopen(&mut self, address: &str, failure: AttemptFailure) -> Result<(), ClientError> {
        let is_first = self.broken_since.is_none();
        let waited = self.broken_since.get_or_insert_with(Instant::now).elapsed();
        if !failure.is_transient() {
            return Err(failure.into_final(false));
        }
        if waited > self.client.options().deadline {
            return Err(ClientError::GaveUp { waited, failure, is_ambiguous: false });
        }
        self.client.avoid(address, &failure);
        if !is_first {
            tokio::time::sleep(BACKOFF_MAX).await;
        }
        self.messages = open(&self.client, self.position.resume(&self.request)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str, index: Option<u64>) -> v1::WatchedEvent {
        let (json, cluster_id) = (text.to_owned(), Some("c1".to_owned()));
        v1::WatchedEvent { json, index, cluster_id }
    }

    fn taken(position: &mut Position, messages: &[v1::WatchedEvent]) -> Vec<String> {
        messages.iter().filter_map(|message| position.take(message.clone())).collect()
    }

    #[test]
    fn events_go_on_after_the_last_index_that_was_told_as_a_whole() {
        let asked =
            v1::WatchRequest { subscribe: vec!["tasks".to_owned()], ..v1::WatchRequest::default() };
        let mut position = Position::default();
        assert_eq!(position.resume(&asked), asked);

        let all = [
            event("", Some(3)),
            event("a", Some(5)),
            event("b", None),
            event(r#"{"type":"telemetry"}"#, None),
            event("c", None),
            event("d", Some(6)),
            event("", Some(9)),
        ];
        assert_eq!(taken(&mut position, &all[..1]), [""; 0]);
        assert_eq!(position.resume(&asked).from_index, Some(3));
        assert_eq!(taken(&mut position, &all[1..5]).len(), 4);

        // It breaks after c. Another master tells of its place, then of b and c again.
        let resumed = position.resume(&asked);
        assert_eq!((resumed.from_index, resumed.cluster_id.as_deref()), (Some(5), Some("c1")));
        assert_eq!(resumed.subscribe, asked.subscribe);
        assert_eq!(taken(&mut position, &[event("", Some(5)), event("b", None)]), [""; 0]);
        // And breaks again.
        assert_eq!(position.resume(&asked).from_index, Some(5));
        let rest = [event("", Some(5)), event("b", None), event("c", None), event("d", Some(6))];
        assert_eq!(taken(&mut position, &rest), ["d"]);
        assert_eq!(taken(&mut position, &all[6..]), [""; 0]);
        assert_eq!(position.resume(&asked).from_index, Some(9));
    }

    #[test]
    fn what_was_skipped_is_not_waited_for() {
        let mut position = Position::default();
        let asked = v1::WatchRequest::default();
        taken(&mut position, &[event("a", Some(5)), event("b", None)]);
        position.resume(&asked);
        let compacted = event(r#"{"type":"compacted","oldest_index":20}"#, Some(19));
        assert_eq!(taken(&mut position, &[event("", Some(5)), compacted]).len(), 1);
        assert_eq!(taken(&mut position, &[event("x", Some(21))]), ["x"]);
    }
}
