//! Publishes events to watching clients: replicated events with their indexes, which every replica
//! holds alike, and the usage that workers report, which is only passed on.

mod event;
mod filter;
mod history;
mod job_status;
mod line;
mod ring;
mod schedule_status;
mod task_news;
mod usage_feed;

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{LogIndex, State};
use parking_lot::{RwLock, RwLockReadGuard};
use raft_store::{Published, StateReader};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use filter::{Filter, Subscription, Visible};
pub(crate) use history::Place;
pub(crate) use line::{closed, compacted, replicated, telemetry};
pub(crate) use ring::{Cause, Missing};
pub(crate) use usage_feed::{UsageFeed, UsageListener};

use self::event::{Event, News, Translator};
use self::history::{History, Select};
use self::ring::Ring;
use self::task_news::TaskNews;

/// A replicated event that a client has selected.
pub(crate) type Told = history::Told<Event, TaskNews>;
/// The next events of a client.
pub(crate) type Page = history::Page<Event, TaskNews>;

/// Events of workers and the cluster held for clients that resume: a fleet of ten thousand may lose its
/// leader some times over. Some megabytes.
const EVENTS_MAX: usize = 65_536;
/// Bytes of events of tasks held for clients that resume: half a million that have no texts, in 48 MiB.
/// At forty thousand tasks a second that is the time of a reconnection.
const TASK_BYTES_MAX: usize = (1 << 19) * TaskNews::BYTES;
/// A client that has just been told everything is not told the next before this time has passed:
/// under load that gathers what comes by the thousand a second.
const PACE: Duration = Duration::from_millis(20);

/// The latest replicated events of this replica. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Many read, each at its own pace, and the one that writes goes before all that come after it.
    history: RwLock<History<Event, TaskNews>>,
    /// Told when readers of events of workers and the cluster have something to look at.
    news: watch::Sender<()>,
    /// Told when readers of events of tasks have.
    task_news: watch::Sender<()>,
}

/// Tells one reader that there may be more to read.
#[derive(Debug)]
pub(crate) struct Changes {
    news: Option<watch::Receiver<()>>,
    task_news: Option<watch::Receiver<()>>,
    looked_at: Instant,
}

impl Changes {
    /// Begins a look: what changes from here on is waited for.
    pub(crate) fn begin_look(&mut self) {
        for news in [&mut self.news, &mut self.task_news].into_iter().flatten() {
            news.borrow_and_update();
        }
        self.looked_at = Instant::now();
    }

    /// Waits until it is worth to look again.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            () = changed(&mut self.news) => {}
            () = changed(&mut self.task_news) => {}
        }
        tokio::time::sleep_until(self.looked_at + PACE).await;
    }
}

async fn changed(news: &mut Option<watch::Receiver<()>>) {
    let is_over = match news {
        Some(news) => news.changed().await.is_err(),
        None => true,
    };
    if is_over {
        std::future::pending::<()>().await;
    }
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
        let (applied, translator) = reader.with_applied(|state, applied| {
            (applied.index, Translator::new(state.meta().now).knowing(state))
        });
        let history = RwLock::new(History::new(
            Ring::new(|_| 1, EVENTS_MAX, applied),
            Ring::new(TaskNews::bytes, TASK_BYTES_MAX, applied),
        ));
        let (news, task_news) = (watch::Sender::new(()), watch::Sender::new(()));
        let events = Self { shared: Arc::new(Shared { history, news, task_news }) };
        let writer =
            EventWriter { events: events.clone(), reader: reader.clone(), feed, translator };
        (events, writer)
    }

    /// The place from which a reader gets only what is new.
    pub(crate) fn now(&self) -> LogIndex {
        self.history().through()
    }

    /// The first place from which nothing is missing that is selected.
    pub(crate) fn floor(&self, wanted: &Filter) -> LogIndex {
        self.history().floor(wanted)
    }

    /// The selected events strictly after `place`, at most so many. Fails when some are not held.
    pub(crate) fn after(
        &self,
        place: Place,
        wanted: &Filter,
        events_max: usize,
    ) -> Result<Page, Missing> {
        self.history().after(place, wanted, events_max)
    }

    /// Tells when there may be more to read of what is selected.
    pub(crate) fn changes(&self, wanted: &Filter) -> Changes {
        Changes {
            news: wanted.reads_events().then(|| self.shared.news.subscribe()),
            task_news: wanted.reads_tasks().then(|| self.shared.task_news.subscribe()),
            looked_at: Instant::now(),
        }
    }

    fn history(&self) -> RwLockReadGuard<'_, History<Event, TaskNews>> {
        self.shared.history.read()
    }

    fn tell(&self) {
        self.shared.news.send_replace(());
        self.shared.task_news.send_replace(());
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
                    let News { events, tasks } =
                        self.translator.news(&batch.changes, &batch.members);
                    let (is_news, is_task_news) = (!events.is_empty(), !tasks.is_empty());
                    let entries = (batch.index_from, batch.index_to);
                    self.events.shared.history.write().extend(entries, events, tasks);
                    if is_news {
                        self.events.shared.news.send_replace(());
                    }
                    if is_task_news {
                        self.events.shared.task_news.send_replace(());
                    }
                }
                Ok(Published::Installed(applied)) => {
                    self.read_log_time();
                    self.events.shared.history.write().jump(applied.index);
                    self.events.tell();
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
        let begin = |state: &State| Translator::after_a_gap(state.meta().now).knowing(state);
        self.translator = self.reader.with(begin);
    }
}
