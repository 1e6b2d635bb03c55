//! Watches events for one client, whatever protocol it speaks.
//!
//! Each client reads replicated events from this master's history at its own pace, so that a slow one
//! costs no memory.

use std::sync::Arc;

use cluster_state::LogIndex;
use proto::problem::{ErrorKind, Problem};
use tokio::sync::OwnedSemaphorePermit;

use super::Operations;
use crate::access::{Action, Caller};
use crate::events::{
    Cause, Changes, Filter, Missing, Place, Subscription, Told, UsageListener, Visible,
};
use crate::peer::forwarded;

/// Events and samples told in one go.
const BATCH_EVENTS: usize = 256;

/// One of the places for clients that watch events, of which each master has so many.
#[derive(Debug)]
pub(crate) struct WatchSlot {
    _permit: OwnedSemaphorePermit,
}

/// Reads the events of one client's subscription.
#[derive(Debug)]
pub(crate) struct Watcher {
    operations: Operations,
    filter: Filter,
    place: Place,
    progress: Progress,
    changes: Changes,
    usage: Option<UsageListener>,
}

/// Progress in serving a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The client's index is of another cluster: what follows it never was here.
    Elsewhere,
    /// The client has named its place, and was not told anything from there yet.
    Resuming,
    /// There is more: the rest is to be looked at.
    Reading,
    /// The client had everything that there was.
    Live,
}

/// Next things for a client.
#[derive(Debug)]
pub(crate) enum Batch {
    /// Replicated events in order.
    Events(Vec<Told>),
    /// Usage as it was reported.
    Usage(Vec<Arc<forwarded::UsageSample>>),
    /// Events before this index are not held any more, or never were; the stream goes on there.
    Compacted { oldest: LogIndex },
}

/// A client was overtaken while it read: what follows this index is not held any more.
#[derive(Debug, thiserror::Error)]
#[error("too slow: resume from_index {0}")]
pub(crate) struct TooSlow(pub(crate) LogIndex);

impl Operations {
    /// Takes one of the places for clients that watch events.
    pub(crate) fn watch_slot(&self) -> Result<WatchSlot, Problem> {
        let permit = Arc::clone(&self.shared.watch_slots).try_acquire_owned().map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "too many clients watch events on this master")
        })?;
        Ok(WatchSlot { _permit: permit })
    }

    /// Watches events from the place that a client names or, without one, from `here`. One that names
    /// an index of another cluster is refused.
    pub(crate) async fn watch(
        &self,
        subscription: Subscription,
        here: LogIndex,
        by: &Caller,
    ) -> Result<Watcher, Problem> {
        self.check_place(&subscription).await?;
        Ok(self.watcher(subscription, here.into(), by))
    }

    /// The same for a client that cannot be refused: it is told that its index means nothing here.
    pub(crate) async fn watch_in_any_case(
        &self,
        subscription: Subscription,
        here: Place,
        by: &Caller,
    ) -> Watcher {
        let is_elsewhere = self.check_place(&subscription).await.is_err();
        let watcher = self.watcher(subscription, here, by);
        let progress = if is_elsewhere { Progress::Elsewhere } else { watcher.progress };
        Watcher { progress, ..watcher }
    }

    fn watcher(&self, subscription: Subscription, here: Place, by: &Caller) -> Watcher {
        let place = subscription.from_index.map_or(here, Place::from);
        let visible = match by.scope() {
            _ if !by.may(Action::ReadTasks) => Visible::None,
            Some(scope) => Visible::Within(scope.clone()),
            None => Visible::All,
        };
        let filter = subscription.filter(visible);
        Watcher {
            operations: self.clone(),
            changes: self.events().changes(&filter),
            usage: filter.takes_usage().then(|| self.listen_to_usage()),
            filter,
            place,
            progress: Progress::Resuming,
        }
    }

    /// Refuses a place that is not one in this cluster's log.
    async fn check_place(&self, subscription: &Subscription) -> Result<(), Problem> {
        let Some(index) = subscription.from_index else { return Ok(()) };
        let ahead = |detail| Err(Problem::new(ErrorKind::IndexAhead, detail));
        if let (Some(theirs), Some(ours)) = (&subscription.cluster_id, self.cluster_id())
            && *theirs != ours
        {
            return ahead(format!("index {index} is of cluster {theirs}; this is {ours}"));
        }
        match self.last_index_below(index).await {
            Some(last) => {
                ahead(format!("index {index} is not of this cluster: its last is {last}"))
            }
            None => Ok(()),
        }
    }

    /// Returns the id of the cluster, as answers name it.
    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.node().cluster_id().map(|id| id.to_string())
    }
}

impl Watcher {
    /// Returns the place after everything that was returned.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// Returns what comes next, when it comes. Nothing is lost when it is given up.
    pub(crate) async fn next(&mut self) -> Result<Batch, TooSlow> {
        loop {
            self.changes.begin_look();
            if let Some(batch) = self.read()? {
                return Ok(batch);
            }
            if self.progress != Progress::Live {
                // Many events were looked at and none was wanted: others have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = self.changes.wait() => {}
                sample = next_sample(&mut self.usage) => match sample {
                    Some(first) => return Ok(self.samples(first)),
                    None => self.usage = None,
                },
            }
        }
    }

    /// Reads the pending events, or as many as are told in one go.
    fn read(&mut self) -> Result<Option<Batch>, TooSlow> {
        let events = self.operations.events();
        if self.progress == Progress::Elsewhere {
            let missing = Missing { floor: events.floor(&self.filter), cause: Cause::Unseen };
            return self.skip(missing).map(Some);
        }
        match events.after(self.place, &self.filter, BATCH_EVENTS) {
            Ok(page) => {
                self.place = page.next;
                self.progress = if page.is_last { Progress::Live } else { Progress::Reading };
                Ok((!page.events.is_empty()).then_some(Batch::Events(page.events)))
            }
            Err(missing) => self.skip(missing).map(Some),
        }
    }

    /// Skips events that are not held: a client that resumes too late is told so and goes on from
    /// the oldest; one that was overtaken while it read is too slow.
    fn skip(&mut self, missing: Missing) -> Result<Batch, TooSlow> {
        if missing.cause == Cause::Dropped && self.progress != Progress::Resuming {
            return Err(TooSlow(self.place.index()));
        }
        self.place = missing.floor.into();
        self.progress = Progress::Resuming;
        Ok(Batch::Compacted { oldest: missing.floor.next() })
    }

    /// Returns a sample with those that are waiting behind it.
    fn samples(&mut self, first: Arc<forwarded::UsageSample>) -> Batch {
        let waiting = std::iter::from_fn(|| self.usage.as_mut()?.try_next());
        Batch::Usage(std::iter::once(first).chain(waiting.take(BATCH_EVENTS)).collect())
    }
}

async fn next_sample(usage: &mut Option<UsageListener>) -> Option<Arc<forwarded::UsageSample>> {
    match usage {
        Some(usage) => usage.next().await,
        None => std::future::pending().await,
    }
}
