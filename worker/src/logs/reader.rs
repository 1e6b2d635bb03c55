//! Reads an attempt's logs from its files, and goes on as they grow.

use std::io::{self, SeekFrom};

use bytes::{Bytes, BytesMut};
use cluster_state::AttemptRef;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

use super::{CHUNK_BYTES, Growth, Logs, Stream};

/// Whether to wait for more at the end of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Until the attempt has ended.
    Yes,
    /// Stop at what is there now.
    No,
}

/// A position in the logs of one attempt.
#[derive(Debug)]
pub(crate) struct LogReader {
    sources: Vec<Source>,
    growth: Option<watch::Receiver<Growth>>,
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    path: std::path::PathBuf,
    file: Option<File>,
    /// Only the first opening skips to the tail; what comes later is new.
    tail_lines: Option<u64>,
}

impl Logs {
    /// Opens the logs of an attempt; none when nothing is known of it here.
    pub(crate) fn open(
        &self,
        attempt: AttemptRef,
        streams: &[Stream],
        follow: Follow,
        tail_lines: Option<u64>,
    ) -> Option<LogReader> {
        let growth = self.live().get(&attempt).cloned();
        let dir = self.dir(attempt);
        if growth.is_none() && !dir.is_dir() {
            return None;
        }
        let sources = streams
            .iter()
            .map(|&stream| Source { stream, path: dir.join(stream.name()), file: None, tail_lines })
            .collect();
        Some(LogReader { sources, growth: growth.filter(|_| follow == Follow::Yes) })
    }
}

impl LogReader {
    /// The next piece, or none at the end.
    pub(crate) async fn next_chunk(&mut self) -> io::Result<Option<(Stream, Bytes)>> {
        loop {
            // Whether it has ended must be known before reading: what was printed last is on file
            // by then.
            let has_ended = match &mut self.growth {
                Some(growth) => {
                    growth.borrow_and_update();
                    growth.has_changed().is_err()
                }
                None => true,
            };
            for source in &mut self.sources {
                if let Some(bytes) = source.read().await? {
                    return Ok(Some((source.stream, bytes)));
                }
            }
            match &mut self.growth {
                Some(growth) if !has_ended => {
                    // An error is the end, which the next round sees.
                    growth.changed().await.unwrap_or_default();
                }
                _ => return Ok(None),
            }
        }
    }
}

impl Source {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path).await {
                Ok(mut opened) => {
                    if let Some(lines) = self.tail_lines {
                        seek_to_tail(&mut opened, lines).await?;
                    }
                    self.file.insert(opened)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.tail_lines = None;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        file.read_buf(&mut chunk).await?;
        Ok(Some(chunk.freeze()).filter(|chunk| !chunk.is_empty()))
    }
}

/// Leaves the file at the beginning of its last so many lines.
async fn seek_to_tail(file: &mut File, lines: u64) -> io::Result<()> {
    let block_bytes = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
    let mut end = file.seek(SeekFrom::End(0)).await?;
    let file_end = end;
    // The line break at the very end closes the last line rather than begin another.
    let mut breaks_left = lines;
    while end > 0 {
        let start = end.saturating_sub(block_bytes);
        file.seek(SeekFrom::Start(start)).await?;
        let mut block = Vec::new();
        (&mut *file).take(end - start).read_to_end(&mut block).await?;
        for (position, byte) in (start..end).zip(&block).collect::<Vec<_>>().into_iter().rev() {
            if *byte != b'\n' || position + 1 == file_end && lines > 0 {
                continue;
            }
            if breaks_left <= 1 {
                file.seek(SeekFrom::Start(position + 1)).await?;
                return Ok(());
            }
            breaks_left -= 1;
        }
        end = start;
    }
    file.seek(SeekFrom::Start(if lines == 0 { file_end } else { 0 })).await?;
    Ok(())
}
