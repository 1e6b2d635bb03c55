//! A stranger's client of `/ws`.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Time for the next event when one is expected.
const EVENT_PATIENCE: Duration = Duration::from_secs(30);

/// The events of one replica, from some index on.
#[derive(Debug)]
pub struct EventStream {
    replica: String,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl EventStream {
    /// Opens a replica's stream (`host:port`) and asks for some topics, strictly after an index.
    pub async fn open(replica: &str, topics: &[&str], from_index: u64) -> Self {
        let url = format!("ws://{replica}/ws");
        let (mut stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let wanted = json!({"subscribe": topics, "from_index": from_index});
        stream.send(Message::text(wanted.to_string())).await.unwrap();
        Self { replica: replica.to_owned(), stream }
    }

    /// The next event.
    pub async fn next(&mut self) -> Value {
        // Pings come for as long as the connection stands, so they must not renew the patience.
        let deadline = tokio::time::Instant::now() + EVENT_PATIENCE;
        loop {
            let next = tokio::time::timeout_at(deadline, self.stream.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{}: no event in time", self.replica));
            match next.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                    panic!("{}: an event was expected, not {other:?}", self.replica)
                }
            }
        }
    }

    /// All events up to the first one of which that holds, that one included.
    pub async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let ends_here = is_last(&event);
            events.push(event);
            if ends_here {
                return events;
            }
        }
    }
}
