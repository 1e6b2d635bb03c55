//! Events as a stream of messages.

use std::time::Duration;

use cluster_state::LogIndex;
use futures_util::stream::{self, BoxStream, StreamExt};
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use tonic::Status;

use crate::access::Caller;
use crate::events::{self, Subscription};
use crate::operations::{Batch, Operations, WatchSlot, Watcher};

/// Silence after which a sign of life is sent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// One client's stream.
struct Reader {
    operations: Operations,
    watcher: Watcher,
    _slot: WatchSlot,
}

/// Opens a client's stream of events.
pub(super) async fn open(
    operations: &Operations,
    request: &v1::WatchRequest,
    by: &Caller,
) -> Result<BoxStream<'static, Result<v1::WatchedEvent, Status>>, Problem> {
    let wanted =
        subscription(request).map_err(|fault| Problem::new(ErrorKind::Malformed, fault))?;
    let slot = operations.watch_slot()?;
    let here = operations.events().now();
    let watcher = operations.watch(wanted, here, by).await?;
    let reader = Reader { operations: operations.clone(), watcher, _slot: slot };
    let first = Ok(reader.sign_of_life());
    let rest = stream::unfold(Some(reader), async |reader| {
        let mut reader = reader?;
        match reader.next().await {
            Ok(messages) => {
                let messages = messages.into_iter().map(Ok).collect::<Vec<_>>();
                Some((stream::iter(messages), Some(reader)))
            }
            Err(problem) => Some((stream::iter(vec![Err(problem.into())]), None)),
        }
    });
    Ok(stream::iter([first]).chain(rest.flatten()).boxed())
}

fn subscription(request: &v1::WatchRequest) -> Result<Subscription, String> {
    let v1::WatchRequest { subscribe, types, task_ids, labels, from_index, cluster_id } = request;
    let wanted = Subscription {
        labels: labels.clone(),
        from_index: from_index.map(LogIndex),
        cluster_id: cluster_id.clone(),
        ..Subscription::default()
    };
    let [topics, types, tasks] =
        [subscribe, types, task_ids].map(|names| names.iter().map(String::as_str));
    wanted.with_names(topics, types, tasks)?.checked()
}

impl Reader {
    async fn next(&mut self) -> Result<Vec<v1::WatchedEvent>, Problem> {
        let stopping = self.operations.stopping().clone();
        let next = tokio::time::timeout(SIGN_OF_LIFE, self.watcher.next());
        let told = tokio::select! {
            () = stopping.cancelled() => {
                return Err(Problem::new(ErrorKind::NotLeader, "this master is stopping"));
            }
            told = next => told,
        };
        match told {
            Ok(Ok(batch)) => Ok(self.messages(batch)),
            Ok(Err(slow)) => Err(Problem::new(ErrorKind::Overloaded, slow.to_string())),
            Err(_) => Ok(vec![self.sign_of_life()]),
        }
    }

    fn messages(&self, batch: Batch) -> Vec<v1::WatchedEvent> {
        let cluster_id = self.operations.cluster_id();
        let cluster = cluster_id.as_deref();
        let message = |json: String, index: Option<LogIndex>| v1::WatchedEvent {
            json,
            index: index.map(|index| index.0),
            cluster_id: cluster_id.clone(),
        };
        match batch {
            Batch::Events(told) => {
                let messages = told.iter().map(|told| {
                    let index = (!told.more).then_some(told.index);
                    message(events::replicated(cluster, told), index)
                });
                messages.collect()
            }
            Batch::Usage(samples) => {
                samples.iter().map(|sample| message(events::telemetry(sample), None)).collect()
            }
            Batch::Compacted { oldest } => {
                let before = LogIndex(oldest.0.saturating_sub(1));
                vec![message(events::compacted(cluster, oldest), Some(before))]
            }
        }
    }

    fn sign_of_life(&self) -> v1::WatchedEvent {
        let place = self.watcher.place();
        v1::WatchedEvent {
            json: String::new(),
            index: place.is_whole().then(|| place.index().0),
            cluster_id: self.operations.cluster_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_the_same_as_a_message_of_json() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let request = v1::WatchRequest {
            subscribe: names(&["workers", "tasks"]),
            types: names(&["task_status"]),
            task_ids: names(&["t1", "t2"]),
            labels: [("team".to_owned(), "x".to_owned())].into(),
            from_index: Some(7),
            cluster_id: Some("c1".to_owned()),
        };
        let text = r#"{"subscribe": ["workers", "tasks"], "types": ["task_status"],
                       "tasks": ["t1", "t2"], "labels": {"team": "x"}, "from_index": 7,
                       "cluster_id": "c1"}"#;
        assert_eq!(subscription(&request), Subscription::parse(text));
        assert_eq!(subscription(&v1::WatchRequest::default()), Ok(Subscription::default()));

        let wrong = v1::WatchRequest { subscribe: names(&["weather"]), ..request };
        let told = subscription(&wrong).unwrap_err();
        assert!(told.starts_with("unknown variant `weather`"), "{told}");
    }
}
