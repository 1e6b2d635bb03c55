//! `/ws`: events as they happen, over a WebSocket.
//!
//! A client that does not take what it is sent, or that newer events have left behind, is closed with
//! a reason and may resume where it was.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use cluster_state::LogIndex;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use proto::problem::{ErrorKind, Problem};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::task::TaskTracker;

use super::Api;
use super::answer::Refusal;
use super::input::{NoParams, Params};
use crate::access::Caller;
use crate::events::{self, Place, Subscription};
use crate::operations::{Batch, Operations, TooSlow, Watcher};

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
/// Longest message of a client: a subscription is far shorter.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Per client, beside one batch: what is read, and what is gathered before it is written.
const READ_BUFFER_BYTES: usize = 4 << 10;
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// Close frames have room for no longer reason (RFC 6455).
const REASON_BYTES_MAX: usize = 123;

/// The clients that watch events. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    tracker: TaskTracker,
}

impl Sockets {
    /// Returns the tracker, which is empty when all clients have gone.
    pub(crate) const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }
}

/// `GET /ws`.
pub(super) async fn open(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("this path speaks WebSocket: {}", rejection.body_text());
        Problem::new(ErrorKind::Malformed, detail)
    })?;
    let slot = api.operations.watch_slot()?;
    let tracked = api.sockets.tracker.token();
    // What happens from here on is not missed, however long the handshake takes.
    let (operations, place) = (api.operations.clone(), api.operations.events().now());
    let upgrade = upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES);
    Ok(upgrade.on_upgrade(async move |socket| {
        Session::new((operations, caller), socket, place).run().await;
        drop((slot, tracked));
    }))
}

/// One client's connection.
struct Session {
    operations: Operations,
    caller: Caller,
    sink: SplitSink<WebSocket, Message>,
    messages: SplitStream<WebSocket>,
    /// None while the client may still be about to say what it wants.
    watcher: Option<Watcher>,
    /// Up to here the client was sent all events that it wants.
    place: Place,
    heard_at: Instant,
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
        Self::because(close_code::AGAIN, &TooSlow(place).to_string())
    }
}

impl Session {
    fn new((operations, caller): (Operations, Caller), socket: WebSocket, place: LogIndex) -> Self {
        let (sink, messages) = socket.split();
        let heard_at = Instant::now();
        Self { operations, caller, sink, messages, watcher: None, place: place.into(), heard_at }
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
        let mut pings = pings();
        let undecided_until = Instant::now() + FIRST_WORD_PATIENCE;

        loop {
            tokio::select! {
                () = stopping.cancelled() => {
                    return Err(End::because(close_code::AWAY, "this master is stopping"));
                }
                message = self.messages.next() => self.on_message(message).await?,
                () = tokio::time::sleep_until(undecided_until), if self.watcher.is_none() => {
                    self.decide(Subscription::default()).await;
                }
                batch = next_batch(&mut self.watcher) => {
                    let batch = batch.map_err(|TooSlow(place)| End::too_slow(place))?;
                    self.tell(batch).await?;
                }
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
                self.decide(subscription).await;
                Ok(())
            }
            Message::Binary(_) => {
                Err(End::because(close_code::UNSUPPORTED, "messages are JSON in text frames"))
            }
            Message::Close(_) => Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn decide(&mut self, wanted: Subscription) {
        let watching = self.operations.watch_in_any_case(wanted, self.place, &self.caller);
        self.watcher = Some(watching.await);
    }

    /// Sends what has happened, one line after the other.
    async fn tell(&mut self, batch: Batch) -> Result<(), End> {
        let cluster = self.operations.cluster_id();
        let cluster = cluster.as_deref();
        match batch {
            Batch::Events(told) => {
                self.send(told.iter().map(|told| events::replicated(cluster, told))).await?;
            }
            Batch::Usage(samples) => {
                self.send(samples.iter().map(|sample| events::telemetry(sample))).await?;
            }
            Batch::Compacted { oldest } => {
                self.send(std::iter::once(events::compacted(cluster, oldest))).await?;
            }
        }
        self.place = self.watcher.as_ref().map_or(self.place, Watcher::place);
        Ok(())
    }

    async fn send(&mut self, lines: impl Iterator<Item = String>) -> Result<(), End> {
        let sending = async {
            for line in lines {
                self.sink.feed(Message::Text(line.into())).await?;
            }
            self.sink.flush().await
        };
        match tokio::time::timeout(SEND_PATIENCE, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::too_slow(self.place.index())),
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
            Err(_) => Err(End::too_slow(self.place.index())),
        }
    }
}

fn pings() -> Interval {
    let mut pings = tokio::time::interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

async fn next_batch(watcher: &mut Option<Watcher>) -> Result<Batch, TooSlow> {
    match watcher {
        Some(watcher) => watcher.next().await,
        None => std::future::pending().await,
    }
}
