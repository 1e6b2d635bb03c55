//! `/ws`: events as they happen, over a WebSocket.
//!
//! Every client reads replicated events from this master's ring at its own pace, so that a slow one
//! costs no memory. One that does not take what it is sent, or that the ring has left behind, is
//! closed with a reason and may resume where it was.

mod message;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use cluster_state::LogIndex;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use proto::problem::{ErrorKind, Problem};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::task::TaskTracker;

pub(super) use self::message::Subscription;
use self::message::Subscriptions;
use super::Api;
use super::answer::Refusal;
use super::input::{NoParams, Params};
use crate::events::{Cause, Missing, Topic, UsageListener};
use crate::operations::Operations;

/// A client that says what it wants within this time after opening gets nothing else before.
const FIRST_WORD_PATIENCE: Duration = Duration::from_secs(1);
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A client from which nothing was heard for so long, not even answers to pings, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Time that a client has to accept one batch of events.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// Time that a client has to read the reason of a close, and then to say goodbye.
const CLOSE_PATIENCE: Duration = Duration::from_secs(4);
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);
/// Events sent in one go.
const BATCH_EVENTS: usize = 256;
/// Longest message of a client: a subscription is far shorter.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Per client, beside one batch: what is read, and what is gathered before it is written.
const READ_BUFFER_BYTES: usize = 4 << 10;
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// Close frames have room for no longer reason (RFC 6455).
const REASON_BYTES_MAX: usize = 123;

/// The clients that watch events. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Sockets {
    /// Creates room for so many clients at the same time.
    pub(crate) fn new(clients: usize) -> Self {
        let slots = Arc::new(Semaphore::new(clients.min(Semaphore::MAX_PERMITS)));
        Self { slots, tracker: TaskTracker::new() }
    }

    /// Returns the tracker, which is empty when all clients have gone.
    pub(crate) const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }
}

/// `GET /ws`.
pub(super) async fn open(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("this path speaks WebSocket: {}", rejection.body_text());
        Problem::new(ErrorKind::Malformed, detail)
    })?;
    let slot = Arc::clone(&api.sockets.slots).try_acquire_owned().map_err(|_| {
        Problem::new(ErrorKind::Overloaded, "too many clients watch events on this master")
    })?;
    let tracked = api.sockets.tracker.token();
    // What happens from here on is not missed, however long the handshake takes.
    let (operations, place) = (api.operations.clone(), api.operations.events().now());
    let upgrade = upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES);
    Ok(upgrade.on_upgrade(async move |socket| {
        Session::new(operations, socket, place).run().await;
        drop((slot, tracked));
    }))
}

/// One client's connection.
struct Session {
    operations: Operations,
    sink: SplitSink<WebSocket, Message>,
    messages: SplitStream<WebSocket>,
    subscription: Subscriptions,
    /// Up to here the client has all events that it wants.
    place: LogIndex,
    progress: Progress,
    usage: Option<UsageListener>,
    heard_at: Instant,
}

/// Progress in serving a client's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It may still be about to say what it wants.
    Undecided,
    /// It has named its place, and was not sent anything from there yet.
    Resuming,
    /// There was more than one batch: the rest is to be looked at.
    Reading,
    /// It had everything that there was.
    Live,
}

/// Reason that a session ends.
enum End {
    /// The connection is gone, or the client has closed it.
    Gone,
    /// The client is told why.
    Closed(CloseFrame),
}

impl End {
    fn because(code: u16, reason: &str) -> Self {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        let reason = reason.get(..end).unwrap_or_default();
        Self::Closed(CloseFrame { code, reason: Utf8Bytes::from(reason) })
    }

    fn too_slow(place: LogIndex) -> Self {
        let reason = format!("too slow: resume from_index {place}");
        Self::because(close_code::AGAIN, &reason)
    }
}

impl Session {
    fn new(operations: Operations, socket: WebSocket, place: LogIndex) -> Self {
        let (sink, messages) = socket.split();
        Self {
            operations,
            sink,
            messages,
            subscription: Subscriptions::default(),
            place,
            progress: Progress::Undecided,
            usage: None,
            heard_at: Instant::now(),
        }
    }

    async fn run(mut self) {
        let Err(end) = self.serve().await;
        if let End::Closed(frame) = end {
            let closing = self.sink.send(Message::Close(Some(frame)));
            tokio::time::timeout(CLOSE_PATIENCE, closing).await.ok();
        }
        // After the client's own goodbye the connection closes in good order.
        let goodbye = async { while let Some(Ok(_)) = self.messages.next().await {} };
        tokio::time::timeout(GOODBYE_PATIENCE, goodbye).await.ok();
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let stopping = self.operations.stopping().clone();
        let mut news = self.operations.events().changes();
        let mut pings = pings();
        let undecided_until = Instant::now() + FIRST_WORD_PATIENCE;

        loop {
            news.borrow_and_update();
            self.send_events().await?;
            tokio::select! {
                () = stopping.cancelled() => {
                    return Err(End::because(close_code::AWAY, "this master is stopping"));
                }
                message = self.messages.next() => self.on_message(message).await?,
                () = tokio::time::sleep_until(undecided_until),
                    if self.progress == Progress::Undecided => {
                        self.decide(Subscription::default()).await?;
                    }
                () = changed(&mut news, self.progress) => {}
                sample = next_sample(&mut self.usage) => self.send_usage(sample).await?,
                _ = pings.tick() => self.ping().await?,
            }
        }
    }

    async fn on_message(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<(), End> {
        let Some(Ok(message)) = message else { return Err(End::Gone) };
        self.heard_at = Instant::now();
        match message {
            Message::Text(text) => {
                let subscription = Subscription::parse(&text)
                    .map_err(|fault| End::because(close_code::POLICY, &fault))?;
                self.decide(subscription).await
            }
            Message::Binary(_) => {
                Err(End::because(close_code::UNSUPPORTED, "messages are JSON in text frames"))
            }
            Message::Close(_) => Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn decide(&mut self, wanted: Subscription) -> Result<(), End> {
        let is_of_another = self.is_of_another_cluster(&wanted).await;
        let Subscription { topics, from_index, .. } = wanted;
        self.place = from_index.unwrap_or(self.place);
        self.subscription = topics;
        self.progress = Progress::Resuming;
        let wants_usage = self.subscription.contains(Topic::Telemetry);
        self.usage = match self.usage.take() {
            Some(usage) if wants_usage => Some(usage),
            None if wants_usage => Some(self.operations.listen_to_usage()),
            Some(_) | None => None,
        };
        if is_of_another {
            // What follows an index of another cluster never was here.
            let floor = self.operations.events().floor();
            self.skip(Missing { floor, cause: Cause::Unseen }).await?;
        }
        Ok(())
    }

    /// Returns true if the position that a client names is not one in this cluster's log.
    async fn is_of_another_cluster(&self, wanted: &Subscription) -> bool {
        let Some(index) = wanted.from_index else { return false };
        if wanted.cluster_id.is_some() && wanted.cluster_id != self.cluster_id() {
            return true;
        }
        self.operations.last_index_below(index).await.is_some()
    }

    fn cluster_id(&self) -> Option<String> {
        self.operations.node().cluster_id().map(|id| id.to_string())
    }

    /// Sends one batch of the pending events. Returns with the session live when those were all.
    async fn send_events(&mut self) -> Result<(), End> {
        if self.progress == Progress::Undecided {
            return Ok(());
        }
        let page = match self.operations.events().after(self.place, BATCH_EVENTS) {
            Ok(page) => page,
            Err(missing) => return self.skip(missing).await,
        };
        let lines = self.subscription.lines(self.cluster_id().as_deref(), &page.events);
        self.send(lines).await?;
        self.place = page.next;
        self.progress = if page.is_last { Progress::Live } else { Progress::Reading };
        Ok(())
    }

    /// Skips events that are not held: a client that resumes too late is told so and goes on from
    /// the oldest; one that was overtaken while it read is too slow.
    async fn skip(&mut self, missing: Missing) -> Result<(), End> {
        if missing.cause == Cause::Dropped && self.progress != Progress::Resuming {
            return Err(End::too_slow(self.place));
        }
        let cluster = self.cluster_id();
        self.send(vec![message::compacted(cluster.as_deref(), missing.floor.next())]).await?;
        self.place = missing.floor;
        self.progress = Progress::Resuming;
        Ok(())
    }

    /// Sends a sample and those that are waiting behind it.
    async fn send_usage(&mut self, first: Option<Arc<proto::v1::UsageSample>>) -> Result<(), End> {
        let Some(first) = first else {
            self.usage = None;
            return Ok(());
        };
        let mut lines = vec![message::telemetry(&first)];
        let waiting = std::iter::from_fn(|| self.usage.as_mut()?.try_next());
        lines.extend(waiting.take(BATCH_EVENTS).map(|sample| message::telemetry(&sample)));
        self.send(lines).await
    }

    async fn send(&mut self, lines: Vec<String>) -> Result<(), End> {
        if lines.is_empty() {
            return Ok(());
        }
        let sending = async {
            for line in lines {
                self.sink.feed(Message::Text(line.into())).await?;
            }
            self.sink.flush().await
        };
        match tokio::time::timeout(SEND_PATIENCE, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::too_slow(self.place)),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard_at.elapsed() > SILENCE_MAX {
            return Err(End::because(close_code::POLICY, "pings were not answered"));
        }
        let pinging = self.sink.send(Message::Ping(axum::body::Bytes::new()));
        match tokio::time::timeout(SEND_PATIENCE, pinging).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::too_slow(self.place)),
        }
    }
}

fn pings() -> Interval {
    let mut pings = tokio::time::interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

/// Waits until there is something to read: not at all for a client that has not had everything.
async fn changed(news: &mut watch::Receiver<()>, progress: Progress) {
    match progress {
        Progress::Undecided => std::future::pending().await,
        Progress::Resuming | Progress::Reading => {}
        Progress::Live => {
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn next_sample(usage: &mut Option<UsageListener>) -> Option<Arc<proto::v1::UsageSample>> {
    match usage {
        Some(usage) => usage.next().await,
        None => std::future::pending().await,
    }
}
