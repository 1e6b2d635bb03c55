//! Messages of the WebSocket, as JSON. Pure.

use std::collections::BTreeSet;

use cluster_state::LogIndex;
use proto::v1;
use serde::{Deserialize, Serialize};

use crate::events::{Event, Topic};

/// Subscription of a client: everything from now on, unless it says otherwise.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Subscription {
    /// Of what.
    #[serde(default, rename = "subscribe")]
    pub(super) topics: Subscriptions,
    /// Strictly after which entry; from where the stream is when absent.
    #[serde(default)]
    pub(super) from_index: Option<LogIndex>,
    /// Of which cluster that entry is; of this one when absent.
    #[serde(default)]
    pub(super) cluster_id: Option<String>,
}

/// The topics of one client.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Subscriptions(BTreeSet<Topic>);

impl Default for Subscriptions {
    fn default() -> Self {
        Self(Topic::ALL.into())
    }
}

impl Subscription {
    /// Reads a client's message, or says what is wrong with it.
    pub(in crate::api) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

impl Subscriptions {
    pub(super) fn contains(&self, topic: Topic) -> bool {
        self.0.contains(&topic)
    }

    /// Returns the events that the client wants, one line each.
    pub(super) fn lines(
        &self,
        cluster_id: Option<&str>,
        events: &[(LogIndex, Event)],
    ) -> Vec<String> {
        let wanted = events.iter().filter(|(_, event)| self.contains(event.topic()));
        let mut wanted = wanted.peekable();
        let mut lines = Vec::new();
        while let Some((index, event)) = wanted.next() {
            let more = wanted.peek().is_some_and(|(next, _)| next == index);
            lines.push(json(&Replicated { event, index: *index, cluster_id, more }));
        }
        lines
    }
}

#[derive(Serialize)]
struct Replicated<'a> {
    #[serde(flatten)]
    event: &'a Event,
    index: LogIndex,
    /// An index means nothing in another cluster's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'a str>,
    /// The same entry brought another event, which follows: a client that is cut off here has not
    /// had the whole of this index.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Passing<'a> {
    Telemetry(&'a v1::UsageSample),
    Compacted {
        oldest_index: LogIndex,
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster_id: Option<&'a str>,
    },
}

/// Returns the line of one sample.
pub(super) fn telemetry(sample: &v1::UsageSample) -> String {
    json(&Passing::Telemetry(sample))
}

/// Returns the line that says from which index on everything is held.
pub(super) fn compacted(cluster_id: Option<&str>, oldest_index: LogIndex) -> String {
    json(&Passing::Compacted { oldest_index, cluster_id })
}

/// Formats a line. Plain records with text for keys have no reason to fail.
fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_else(|error| {
        tracing::error!(%error, "an event cannot be written");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use cluster_state::{MasterId, Term, Timestamp, WorkerReason};
    use serde_json::json;

    use super::*;
    use crate::events::Reason;

    fn of_worker(id: &str) -> Event {
        Event::WorkerStatus {
            worker_id: id.parse().unwrap(),
            is_active: true,
            state: "active",
            reason: Reason::Status(WorkerReason::Registered),
            detail: None,
            timestamp: Timestamp(0),
        }
    }

    fn of_leader() -> Event {
        Event::Leader { leader_id: MasterId(2), term: Term(7), timestamp: Timestamp(0) }
    }

    fn parsed(lines: &[String]) -> Vec<serde_json::Value> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn events_have_the_documented_form() {
        let events = [(LogIndex(42), of_worker("worker-1")), (LogIndex(44), of_leader())];
        let expected = [
            json!({"type": "worker_status", "worker_id": "worker-1", "is_active": true,
                   "state": "active", "timestamp": "1970-01-01T00:00:00.000Z", "index": 42,
                   "reason": "registered", "cluster_id": "c1"}),
            json!({"type": "leader", "leader_id": 2, "term": 7,
                   "timestamp": "1970-01-01T00:00:00.000Z", "index": 44, "cluster_id": "c1"}),
        ];
        assert_eq!(parsed(&Subscriptions::default().lines(Some("c1"), &events)), expected);

        let sample = v1::UsageSample {
            worker_id: "worker-1".to_owned(),
            cpu: 12.5,
            ..v1::UsageSample::default()
        };
        let telemetry = json!({"type": "telemetry", "worker_id": "worker-1", "cpu": 12.5,
                               "memory": 0.0, "storage": 0.0, "gpu": 0.0, "running_tasks": 0,
                               "timestamp": ""});
        let compacted = json!({"type": "compacted", "oldest_index": 8, "cluster_id": "c1"});
        let lines = vec![super::telemetry(&sample), super::compacted(Some("c1"), LogIndex(8))];
        assert_eq!(parsed(&lines), [telemetry, compacted]);
    }

    #[test]
    fn all_but_the_last_event_of_an_entry_say_that_more_follows() {
        let events = [
            (LogIndex(1), of_worker("a")),
            (LogIndex(2), of_worker("a")),
            (LogIndex(2), of_leader()),
            (LogIndex(2), of_worker("b")),
            (LogIndex(2), of_leader()),
        ];
        let more = |subscription: &Subscriptions| {
            let lines = parsed(&subscription.lines(None, &events)).into_iter();
            lines.map(|line| line["more"] == json!(true)).collect::<Vec<_>>()
        };
        assert_eq!(more(&Subscriptions::default()), [false, true, true, true, false]);
        assert_eq!(more(&Subscriptions([Topic::Workers].into())), [false, true, false]);
    }

    #[test]
    fn a_client_says_what_it_wants_or_gets_everything() {
        let text = r#"{"subscribe": ["workers", "tasks"], "from_index": 7}"#;
        let wanted = Subscription::parse(text).unwrap();
        assert_eq!(wanted.from_index, Some(LogIndex(7)));
        assert_eq!(wanted.topics, Subscriptions([Topic::Workers, Topic::Tasks].into()));
        assert_eq!(Subscription::parse("{}").unwrap(), Subscription::default());

        for (text, fault) in [
            (r#"{"subscribe": ["weather"]}"#, "unknown variant `weather`"),
            (r#"{"from": 7}"#, "unknown field `from`"),
            ("workers", "expected value"),
        ] {
            let told = Subscription::parse(text).unwrap_err();
            assert!(told.starts_with(fault), "{told}");
        }
    }
}
