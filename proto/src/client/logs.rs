//! Follows a task's log across broken connections and changes of leaders.

use tokio::time::Instant;
use tonic::Streaming;

use super::{AttemptFailure, BACKOFF_MAX, Client, ClientError, Repeat, task_service};
use crate::v1;

/// The log of one attempt, or of all attempts from one on. When the connection breaks, it is
/// requested again from the position that was reached.
#[derive(Debug)]
pub struct LogStream {
    client: Client,
    request: v1::TaskLogsRequest,
    chunks: Streaming<v1::LogChunk>,
    position: Position,
    /// Time since when nothing new has arrived for lack of a connection.
    broken_since: Option<Instant>,
}

/// Position in a log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// None before the first attempt.
    attempt: Option<u32>,
    stdout: Option<u64>,
    stderr: Option<u64>,
}

impl Position {
    /// Advances past the chunk, and returns true if it is new: the opening of an attempt is
    /// repeated after a break.
    fn take(&mut self, chunk: &v1::LogChunk) -> bool {
        if !chunk.worker_id.is_empty() {
            let is_news = self.attempt != Some(chunk.attempt);
            if is_news {
                *self = Self { attempt: Some(chunk.attempt), ..Self::default() };
            }
            return is_news;
        }
        match chunk.stream() {
            v1::OutputStream::Stdout => self.stdout = Some(chunk.next_offset),
            v1::OutputStream::Stderr => self.stderr = Some(chunk.next_offset),
            // The chunk is not about one stream.
            v1::OutputStream::Unspecified => {}
        }
        true
    }

    /// Requests the log from this position on.
    fn resume(self, request: &v1::TaskLogsRequest) -> v1::TaskLogsRequest {
        let mut request = request.clone();
        let Some(attempt) = self.attempt else { return request };
        if request.follow && request.attempt == 0 {
            request.from_attempt = attempt;
        } else {
            request.attempt = attempt;
        }
        request.stdout_offset = self.stdout.or(request.stdout_offset);
        request.stderr_offset = self.stderr.or(request.stderr_offset);
        request
    }
}

impl Client {
    /// Opens a task's log.
    pub async fn logs(&self, request: v1::TaskLogsRequest) -> Result<LogStream, ClientError> {
        Ok(LogStream {
            client: self.clone(),
            chunks: open(self, request.clone()).await?,
            request,
            position: Position::default(),
            broken_since: None,
        })
    }
}

async fn open(
    client: &Client,
    request: v1::TaskLogsRequest,
) -> Result<Streaming<v1::LogChunk>, ClientError> {
    client
        .call(client.rules(Repeat::Always), request, |channel, request| async move {
            task_service(channel).logs(request).await
        })
        .await
}

impl LogStream {
    /// Returns the next chunk; none at the end of the log.
    pub async fn next(&mut self) -> Result<Option<v1::LogChunk>, ClientError> {
        loop {
            match self.chunks.message().await {
                Ok(None) => return Ok(None),
                Ok(Some(chunk)) => {
                    if self.position.take(&chunk) {
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

    async fn reopen(&mut self, address: &str, failure: AttemptFailure) -> Result<(), ClientError> {
        let broken_since = *self.broken_since.get_or_insert_with(Instant::now);
        let waited = broken_since.elapsed();
        if !failure.is_transient() {
            return Err(failure.into_final(false));
        }
        if waited > self.client.options().deadline {
            return Err(ClientError::GaveUp { waited, failure, is_ambiguous: false });
        }
        self.client.avoid(address, &failure);
        tokio::time::sleep(BACKOFF_MAX).await;
        self.chunks = open(&self.client, self.position.resume(&self.request)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::OutputStream;

    fn opening(attempt: u32) -> v1::LogChunk {
        let worker_id = format!("w{attempt}");
        v1::LogChunk { attempt, worker_id, ..v1::LogChunk::default() }
    }

    fn output(attempt: u32, stream: OutputStream, next_offset: u64) -> v1::LogChunk {
        let stream = stream.into();
        v1::LogChunk { attempt, stream, next_offset, ..v1::LogChunk::default() }
    }

    #[test]
    fn a_log_goes_on_in_the_attempt_and_at_the_place_where_it_broke() {
        let request = v1::TaskLogsRequest { follow: true, ..v1::TaskLogsRequest::default() };
        let mut position = Position::default();
        assert_eq!(position.resume(&request), request);

        let chunks = [
            opening(1),
            output(1, OutputStream::Stdout, 70),
            opening(2),
            output(2, OutputStream::Stderr, 5),
        ];
        assert!(chunks.iter().all(|chunk| position.take(chunk)));

        let resumed = position.resume(&request);
        assert_eq!((resumed.attempt, resumed.from_attempt), (0, 2));
        assert_eq!((resumed.stdout_offset, resumed.stderr_offset), (None, Some(5)));
        assert!(!position.take(&opening(2)), "it is told again");
        assert!(position.take(&opening(3)));
        assert_eq!(position.resume(&request).stderr_offset, None, "it begins anew");
    }

    #[test]
    fn a_log_of_one_attempt_stays_with_it() {
        let request = v1::TaskLogsRequest { tail_lines: Some(3), ..v1::TaskLogsRequest::default() };
        let mut position = Position::default();
        position.take(&opening(4));
        position.take(&output(4, OutputStream::Stdout, 900));

        let resumed = position.resume(&request);

        assert_eq!((resumed.attempt, resumed.from_attempt), (4, 0));
        assert_eq!((resumed.stdout_offset, resumed.tail_lines), (Some(900), Some(3)));
    }
}
