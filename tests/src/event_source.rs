//! A stranger's client of `/api/events`, which does as browsers do.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Time for the next line when one is expected.
const LINE_PATIENCE: Duration = Duration::from_secs(30);

/// The events of one master after another. It remembers the last id and begins there again, wherever it
/// connects next.
#[derive(Debug)]
pub struct EventSource {
    query: String,
    last_id: String,
    /// Events up to that id.
    events: Vec<Value>,
    /// Events after it, which come again when the connection breaks.
    pending: Vec<Value>,
    stream: Option<BufReader<TcpStream>>,
}

impl EventSource {
    /// Creates a client that has connected to nobody yet. It begins strictly after an index.
    #[must_use]
    pub fn new(query: &str, from_index: u64) -> Self {
        let (query, last_id) = (query.to_owned(), from_index.to_string());
        Self { query, last_id, events: Vec::new(), pending: Vec::new(), stream: None }
    }

    /// All events whose index was told as a whole.
    #[must_use]
    pub fn events(&self) -> &[Value] {
        &self.events
    }

    /// Leaves its master and goes on at another (`host:port`).
    ///
    /// # Errors
    ///
    /// When that does not answer, or refuses.
    pub async fn connect(&mut self, master: &str) -> io::Result<()> {
        self.stream = None;
        self.pending.clear();
        let mut stream = BufReader::new(TcpStream::connect(master).await?);
        let (query, last_id) = (&self.query, &self.last_id);
        // Answers of this version have no chunks.
        let request = format!(
            "GET /api/events?{query} HTTP/1.0\r\nhost: {master}\r\nlast-event-id: {last_id}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let status = line(&mut stream).await?;
        if !status.contains(" 200 ") {
            return Err(io::Error::other(format!("{master}: {status}")));
        }
        while !line(&mut stream).await?.is_empty() {}
        self.stream = Some(stream);
        Ok(())
    }

    /// Reads so many more events, and the others of the last one's index.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or nothing comes.
    pub async fn read(&mut self, count: usize) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (mut id, mut left) = (None, count);
        while left > 0 || !self.pending.is_empty() {
            let line = line(stream).await?;
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                self.pending.push(serde_json::from_str(value)?);
                left = left.saturating_sub(1);
            } else if line.is_empty()
                && let Some(id) = id.take()
            {
                self.last_id = id;
                self.events.append(&mut self.pending);
            }
        }
        Ok(())
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    let read = tokio::time::timeout(LINE_PATIENCE, stream.read_line(&mut line)).await;
    if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
