//! A task's log as it grows, across broken connections and changes of leaders.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use super::{AttemptFailure, BACKOFF_MAX, Client, ClientError, Repeat, task_service};
use crate::v1;

/// How long a master may wait for a task's start before it is asked again: it may have lost sight
/// of the others.
const FOLLOW_SLICE: Duration = Duration::from_secs(20);

/// The log of one attempt. When the connection breaks it is asked for again, and what has been
/// delivered is skipped; a log of which only the last lines were wanted ends with the connection.
#[derive(Debug)]
pub struct LogStream {
    client: Client,
    request: v1::TaskLogsRequest,
    chunks: Streaming<v1::LogChunk>,
    stdout: Cursor,
    stderr: Cursor,
    /// Since when no new byte has come through for want of a connection.
    broken_since: Option<Instant>,
}

/// How far one of the two streams has come.
#[derive(Debug, Default)]
struct Cursor {
    delivered: usize,
    to_skip: usize,
}

impl Cursor {
    /// What of the chunk is new.
    fn take(&mut self, data: &mut bytes::Bytes) {
        let skipped = self.to_skip.min(data.len());
        self.to_skip -= skipped;
        bytes::Buf::advance(data, skipped);
        self.delivered += data.len();
    }

    /// The stream begins anew.
    fn rewind(&mut self) {
        self.to_skip = self.delivered;
    }
}

impl Client {
    /// Opens a task's log.
    pub async fn logs(&self, request: v1::TaskLogsRequest) -> Result<LogStream, ClientError> {
        Ok(LogStream {
            client: self.clone(),
            chunks: open(self, request.clone()).await?,
            request,
            stdout: Cursor::default(),
            stderr: Cursor::default(),
            broken_since: None,
        })
    }
}

/// Asks for the log. One that is followed from before its task has started is answered only then,
/// however long that takes.
async fn open(
    client: &Client,
    request: v1::TaskLogsRequest,
) -> Result<Streaming<v1::LogChunk>, ClientError> {
    let rules = match request.follow {
        true => client.rules(Repeat::Always).longer_by(FOLLOW_SLICE),
        false => client.rules(Repeat::Always),
    };
    loop {
        let answer = client.call(rules, request.clone(), |channel, request| async move {
            task_service(channel).logs(request).await
        });
        match answer.await {
            Err(ClientError::GaveUp { failure: AttemptFailure::TimedOut, .. })
                if request.follow => {}
            answer => return answer,
        }
    }
}

impl LogStream {
    /// The next bytes; none when the log is at its end.
    pub async fn next(&mut self) -> Result<Option<v1::LogChunk>, ClientError> {
        loop {
            match self.chunks.message().await {
                Ok(None) => return Ok(None),
                Ok(Some(mut chunk)) => {
                    self.skip_delivered(&mut chunk);
                    if !chunk.data.is_empty() {
                        self.broken_since = None;
                        return Ok(Some(chunk));
                    }
                }
                Err(status) => {
                    let address = self.client.target();
                    let failure = self.client.on_status(&address, &status);
                    self.reopen(&address, failure).await?;
                }
            }
        }
    }

    fn skip_delivered(&mut self, chunk: &mut v1::LogChunk) {
        let cursor = if chunk.stream == "stderr" { &mut self.stderr } else { &mut self.stdout };
        cursor.take(&mut chunk.data);
    }

    async fn reopen(&mut self, address: &str, failure: AttemptFailure) -> Result<(), ClientError> {
        let broken_since = *self.broken_since.get_or_insert_with(Instant::now);
        let waited = broken_since.elapsed();
        let can_resume = failure.is_transient() && self.request.tail_lines.is_none();
        if !can_resume {
            return Err(failure.into_final(false));
        }
        if waited > self.client.options().deadline {
            return Err(ClientError::GaveUp { waited, failure, is_ambiguous: false });
        }
        self.client.avoid(address, &failure);
        tokio::time::sleep(BACKOFF_MAX).await;
        self.chunks = open(&self.client, self.request.clone()).await?;
        self.stdout.rewind();
        self.stderr.rewind();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_log_that_begins_anew_goes_on_where_it_was() {
        let mut cursor = Cursor::default();
        let take = |cursor: &mut Cursor, text: &'static str| {
            let mut data = Bytes::from_static(text.as_bytes());
            cursor.take(&mut data);
            String::from_utf8(data.to_vec()).unwrap()
        };
        assert_eq!(take(&mut cursor, "one\ntw"), "one\ntw");
        cursor.rewind();
        assert_eq!(take(&mut cursor, "one\n"), "");
        assert_eq!(take(&mut cursor, "two\nthree\n"), "o\nthree\n");
        cursor.rewind();
        assert_eq!(take(&mut cursor, "one\ntwo\nthree\nfour"), "four");
    }
}
