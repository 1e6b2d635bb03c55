//! A client of `/ws` that knows nothing of how events are made.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use eventually::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::one_master::OneMaster;

/// An open socket.
pub(crate) struct EventSocket {
    stream: WebSocketStream<TcpStream>,
}

impl EventSocket {
    /// Opens it and says nothing.
    pub(crate) async fn open(master: &OneMaster) -> Self {
        Self::open_with(master, TcpSocket::new_v4().unwrap()).await.unwrap()
    }

    /// Opens it over a socket of one's own; the error is what the master answered.
    pub(crate) async fn open_with(
        master: &OneMaster,
        socket: TcpSocket,
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let connection = socket.connect(master.http()).await.unwrap();
        let url = format!("ws://{}/ws", master.http());
        let (stream, _) = tokio_tungstenite::client_async(url, connection).await?;
        Ok(Self { stream })
    }

    /// Opens it and asks for some topics from now on.
    pub(crate) async fn watch(master: &OneMaster, topics: &[&str]) -> Self {
        let mut socket = Self::open(master).await;
        socket.say(&json!({ "subscribe": topics })).await;
        socket
    }

    /// Opens it and asks for what happened to workers after an index.
    pub(crate) async fn resume(master: &OneMaster, from_index: u64) -> Self {
        let mut socket = Self::open(master).await;
        socket.say(&json!({"subscribe": ["workers"], "from_index": from_index})).await;
        socket
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Value {
        match self.message(PATIENCE).await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("an event was expected, not {other:?}"),
        }
    }

    /// The next event, if it comes within that time.
    pub(crate) async fn next_within(&mut self, patience: Duration) -> Option<Value> {
        let Message::Text(text) = self.message(patience).await? else {
            panic!("an event was expected");
        };
        Some(serde_json::from_str(&text).unwrap())
    }

    /// So many events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }

    /// With which code and reason the master closes it, after whatever it sends before.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message(PATIENCE).await {
                Some(Message::Text(_)) => {}
                Some(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                other => panic!("it was to be closed with a reason, not {other:?}"),
            }
        }
    }

    async fn message(&mut self, patience: Duration) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(patience, self.stream.next()).await.ok()?;
            let message = next.unwrap().unwrap();
            if !message.is_ping() && !message.is_pong() {
                return Some(message);
            }
        }
    }
}
