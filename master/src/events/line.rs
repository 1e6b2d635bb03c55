//! Events as clients see them: one object of JSON each. Pure.

use cluster_state::LogIndex;
use proto::v1;
use serde::Serialize;

use super::event::Event;
use super::history::{Fact, Told};
use super::task_news::TaskNews;

#[derive(Serialize)]
struct Replicated<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
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
#[serde(untagged)]
enum Shown<'a> {
    Event(&'a Event),
    Task(&'a TaskNews),
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
    Closed {
        reason: &'a str,
    },
}

/// Returns the line of a replicated event.
pub(crate) fn replicated(cluster_id: Option<&str>, told: &Told<Event, TaskNews>) -> String {
    let shown = match &told.fact {
        Fact::Event(event) => Shown::Event(event),
        Fact::Task(task) => Shown::Task(task),
    };
    json(&Replicated { shown, index: told.index, cluster_id, more: told.more })
}

/// Returns the line of one sample.
pub(crate) fn telemetry(sample: &v1::UsageSample) -> String {
    json(&Passing::Telemetry(sample))
}

/// Returns the line that says from which index on everything is held.
pub(crate) fn compacted(cluster_id: Option<&str>, oldest_index: LogIndex) -> String {
    json(&Passing::Compacted { oldest_index, cluster_id })
}

/// Returns the line that says why no event follows.
pub(crate) fn closed(reason: &str) -> String {
    json(&Passing::Closed { reason })
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
    use crate::events::event::Reason;

    fn parsed(line: &str) -> serde_json::Value {
        serde_json::from_str(line).unwrap()
    }

    fn told(index: u64, event: Event, more: bool) -> Told<Event, TaskNews> {
        Told { index: LogIndex(index), fact: Fact::Event(event), more }
    }

    #[test]
    fn events_have_the_documented_form() {
        let of_worker = Event::WorkerStatus {
            worker_id: "worker-1".parse().unwrap(),
            is_active: true,
            state: "active",
            reason: Reason::Status(WorkerReason::Registered),
            detail: None,
            timestamp: Timestamp(0),
        };
        assert_eq!(
            parsed(&replicated(Some("c1"), &told(42, of_worker, true))),
            json!({"type": "worker_status", "worker_id": "worker-1", "is_active": true,
                   "state": "active", "timestamp": "1970-01-01T00:00:00.000Z", "index": 42,
                   "reason": "registered", "cluster_id": "c1", "more": true})
        );
        let of_leader =
            Event::Leader { leader_id: MasterId(2), term: Term(7), timestamp: Timestamp(0) };
        assert_eq!(
            parsed(&replicated(None, &told(44, of_leader, false))),
            json!({"type": "leader", "leader_id": 2, "term": 7,
                   "timestamp": "1970-01-01T00:00:00.000Z", "index": 44})
        );
    }

    #[test]
    fn what_is_not_replicated_has_no_index() {
        let sample = v1::UsageSample {
            worker_id: "worker-1".to_owned(),
            cpu: 12.5,
            ..v1::UsageSample::default()
        };
        assert_eq!(
            parsed(&telemetry(&sample)),
            json!({"type": "telemetry", "worker_id": "worker-1", "cpu": 12.5, "memory": 0.0,
                   "storage": 0.0, "gpu": 0.0, "running_tasks": 0, "timestamp": ""})
        );
        assert_eq!(
            parsed(&compacted(Some("c1"), LogIndex(8))),
            json!({"type": "compacted", "oldest_index": 8, "cluster_id": "c1"})
        );
        assert_eq!(parsed(&closed("why")), json!({"type": "closed", "reason": "why"}));
    }
}
