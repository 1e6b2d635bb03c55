//! Publishes events to watching clients: replicated events with their indexes, which every replica
//! holds alike, and the usage that workers report, which is only passed on.

mod event;
mod ring;
mod usage_feed;

use std::sync::Arc;

use cluster_state::LogIndex;
use parking_lot::{Mutex, MutexGuard};
use raft_store::{Published, StateReader};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use event::Reason;
pub(crate) use event::{Event, Topic};
pub(crate) use ring::{Cause, Missing, Page};
pub(crate) use usage_feed::{UsageFeed, UsageListener};

use self::event::Translator;
use self::ring::Ring;

/// Events held for clients that resume: a fleet of ten thousand may lose its leader some times
/// over. Some megabytes.
const EVENTS_MAX: usize = 65_536;

/// The latest replicated events of this replica. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring<Event>>,
    /// Told when readers have something to look at.
    news: watch::Sender<()>,
}

/// Feeds the events; runs once.
#[derive(Debug)]
pub(crate) struct EventWriter {
    events: Events,
    reader: StateReader,
    feed: broadcast::Receiver<Published>,
    translator: Translator,
}

impl Events {
    /// Begins with what is applied next. The writer is to be run.
    pub(crate) fn follow(reader: &StateReader) -> (Self, EventWriter) {
        // First the subscription, then the look: what is applied in between is in both, and the
        // ring leaves it out.
        let feed = reader.subscribe();
        let (applied, log_time) =
            reader.with_applied(|state, applied| (applied.index, state.meta().now));
        let ring = Mutex::new(Ring::new(EVENTS_MAX, applied));
        let events = Self { shared: Arc::new(Shared { ring, news: watch::Sender::new(()) }) };
        let translator = Translator::new(log_time);
        let writer =
            EventWriter { events: events.clone(), reader: reader.clone(), feed, translator };
        (events, writer)
    }

    /// The place from which a reader gets only what is new.
    pub(crate) fn now(&self) -> LogIndex {
        self.ring().through()
    }

    /// The first place from which nothing is missing.
    pub(crate) fn floor(&self) -> LogIndex {
        self.ring().floor()
    }

    /// The events strictly after `place`, about `wanted` of them. Fails when some are not held.
    pub(crate) fn after(&self, place: LogIndex, wanted: usize) -> Result<Page<Event>, Missing> {
        self.ring().after(place, wanted)
    }

    /// Changes when there may be more to read: subscribe before the look.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.shared.news.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring<Event>> {
        self.shared.ring.lock()
    }
}

impl EventWriter {
    /// Runs until cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let published = tokio::select! {
                () = stop.cancelled() => return,
                published = self.feed.recv() => published,
            };
            match published {
                Ok(Published::Applied(batch)) => {
                    let events = self.translator.events(&batch.changes, &batch.members);
                    let is_news = !events.is_empty();
                    self.events.ring().extend(batch.index_from, batch.index_to, events);
                    if is_news {
                        self.events.shared.news.send_replace(());
                    }
                }
                Ok(Published::Installed(applied)) => {
                    self.read_log_time();
                    self.events.ring().jump(applied.index);
                    self.events.shared.news.send_replace(());
                }
                // The next batch shows the ring what is missing.
                Err(broadcast::error::RecvError::Lagged(batches)) => {
                    tracing::warn!(batches, "events were lost: watching clients are told");
                    self.read_log_time();
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn read_log_time(&mut self) {
        self.translator = Translator::new(self.reader.with(|state| state.meta().now));
    }
}
