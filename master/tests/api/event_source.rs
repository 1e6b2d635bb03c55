//! A client of `/api/events` that knows nothing of how events are made.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should panic")]

use eventually::PATIENCE;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::one_master::OneMaster;

/// An open stream.
pub(crate) struct EventSource {
    stream: BufReader<TcpStream>,
    /// Id of the last event, as a browser remembers it.
    pub(crate) last_id: Option<String>,
}

impl EventSource {
    /// Opens it. The error is the answer's first line and its body.
    pub(crate) async fn open(
        master: &OneMaster,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, (String, String)> {
        let mut stream = BufReader::new(TcpStream::connect(master.http()).await.unwrap());
        // Answers of this version have no chunks.
        let mut request = format!("GET /api/events?{query} HTTP/1.0\r\nhost: master\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        let mut source = Self { stream, last_id: None };
        let status = source.line().await.unwrap();
        let mut head = Vec::new();
        while let Some(line) = source.line().await.filter(|line| !line.is_empty()) {
            head.push(line.to_lowercase());
        }
        if !status.contains(" 200 ") {
            let mut body = String::new();
            source.stream.read_to_string(&mut body).await.unwrap();
            return Err((status, body));
        }
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        Ok(source)
    }

    /// Opens it as an anonymous caller.
    pub(crate) async fn watch(master: &OneMaster, query: &str) -> Self {
        Self::open(master, query, &[]).await.unwrap()
    }

    /// The next event that has data, with its id; none at the end.
    pub(crate) async fn event(&mut self) -> Option<(Option<String>, Value)> {
        let (mut id, mut data) = (None, None);
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                self.last_id = id.take().or(self.last_id.take());
                if let Some(data) = data.take() {
                    return Some((self.last_id.clone(), data));
                }
            } else if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(value).unwrap());
            } else if !line.starts_with(':') && !line.starts_with("retry: ") {
                panic!("a line of an event was expected, not '{line}'");
            }
        }
    }

    /// The data of so many events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await.unwrap().1);
        }
        events
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line));
        (read.await.unwrap().unwrap() > 0).then(|| line.trim_end().to_owned())
    }
}
