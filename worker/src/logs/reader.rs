//! Reads an attempt's logs from its files, and follows them as they grow.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cluster_state::AttemptRef;
use proto::output::{CHUNK_BYTES, CHUNK_BYTES_MAX, OutputStream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::parts::{Part, parts};
use super::{Growth, Logs};

/// Maximum bytes that are read ahead for a reader. Every read is handed to another thread and back,
/// which takes far longer than the read itself.
const READ_BYTES: usize = CHUNK_BYTES_MAX as usize;
/// Bytes read at once in the backward search for line breaks.
const BLOCK_BYTES: u64 = 64 << 10;

/// Behavior at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Go on until the attempt has ended.
    Yes,
    /// Stop at the present end.
    No,
}

/// Reason that a log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// The attempt is unknown here.
    #[error("this worker has no logs of {} {}", .0.task, .0.attempt)]
    Unknown(AttemptRef),
    /// Each reader takes memory and open files.
    #[error("{0} logs of this worker are being read already: try again later")]
    TooManyReaders(usize),
}

/// A position in the logs of one attempt.
#[derive(Debug)]
pub(crate) struct LogReader {
    sources: Sources,
    /// Bytes that were read and not returned yet.
    ahead: Block,
    chunk_bytes: usize,
    growth: Option<watch::Receiver<Growth>>,
    _permit: OwnedSemaphorePermit,
}

/// The streams that are read.
#[derive(Debug, Default)]
struct Sources {
    /// The stream that was read last comes last, so that neither starves the other.
    in_turn: VecDeque<Source>,
}

/// Bytes of a stream.
#[derive(Debug)]
struct Block {
    stream: OutputStream,
    bytes: Bytes,
    /// Position after it in the stream.
    end: u64,
}

#[derive(Debug)]
struct Source {
    stream: OutputStream,
    dir: PathBuf,
    current: Option<Open>,
    /// Position of the next byte in the stream.
    position: u64,
    /// Applies to the first read only; later reads follow.
    begin: Begin,
}

#[derive(Debug, Clone, Copy)]
enum Begin {
    /// At the first byte, or at the end of the last read.
    Here,
    /// At the last N lines.
    AtTail(u64),
    /// At this position in the stream.
    At(u64),
}

#[derive(Debug)]
struct Open {
    offset: u64,
    file: File,
}

impl Logs {
    /// Opens the logs of an attempt.
    pub(crate) fn open(
        &self,
        attempt: AttemptRef,
        streams: &[OutputStream],
        follow: Follow,
        tail_lines: Option<u64>,
    ) -> Result<LogReader, OpenError> {
        let growth = self.live().get(&attempt).cloned();
        let dir = self.dir(attempt);
        if growth.is_none() && !dir.is_dir() {
            return Err(OpenError::Unknown(attempt));
        }
        let permit = Arc::clone(&self.shared.readers)
            .try_acquire_owned()
            .map_err(|_| OpenError::TooManyReaders(self.shared.readers_max))?;
        let source = |&stream: &OutputStream| {
            let dir = dir.clone();
            let begin = tail_lines.map_or(Begin::Here, Begin::AtTail);
            Source { stream, dir, current: None, position: 0, begin }
        };
        Ok(LogReader {
            sources: Sources { in_turn: streams.iter().map(source).collect() },
            ahead: Block::EMPTY,
            chunk_bytes: CHUNK_BYTES as usize,
            growth: growth.filter(|_| follow == Follow::Yes),
            _permit: permit,
        })
    }
}

impl LogReader {
    /// Returns chunks of that many bytes at most.
    pub(crate) fn limit_chunks(&mut self, bytes: u32) {
        self.chunk_bytes = bytes.clamp(1, CHUNK_BYTES_MAX) as usize;
    }

    /// Begins one stream at the position where an earlier reader left it.
    pub(crate) fn skip_to(&mut self, stream: OutputStream, position: u64) {
        for source in self.sources.in_turn.iter_mut().filter(|source| source.stream == stream) {
            source.begin = Begin::At(position);
        }
    }

    /// Returns the next chunk and the position after it in its stream; none at the end.
    pub(crate) async fn next_chunk(&mut self) -> io::Result<Option<(OutputStream, Bytes, u64)>> {
        loop {
            if let Some(chunk) = self.ahead.take_chunk(self.chunk_bytes) {
                return Ok(Some(chunk));
            }

            // Read before the files: at the end of the attempt, all of its output is in them.
            let has_ended = match &mut self.growth {
                Some(growth) => {
                    growth.borrow_and_update();
                    growth.has_changed().is_err()
                }
                None => true,
            };

            let mut sources = std::mem::take(&mut self.sources);
            let reading = tokio::task::spawn_blocking(move || (sources.read(), sources));
            let (read, sources) = reading.await.map_err(io::Error::other)?;
            self.sources = sources;
            if let Some(block) = read? {
                self.ahead = block;
                continue;
            }

            match &mut self.growth {
                Some(growth) if !has_ended => {
                    // An error means the end, which the next round sees.
                    growth.changed().await.unwrap_or_default();
                }
                _ => return Ok(None),
            }
        }
    }
}

impl Block {
    const EMPTY: Self = Self { stream: OutputStream::Stdout, bytes: Bytes::new(), end: 0 };

    /// Takes a chunk off its beginning, with the position after the chunk.
    fn take_chunk(&mut self, bytes_max: usize) -> Option<(OutputStream, Bytes, u64)> {
        if self.bytes.is_empty() {
            return None;
        }
        let chunk = self.bytes.split_to(self.bytes.len().min(bytes_max));
        Some((self.stream, chunk, self.end.saturating_sub(self.bytes.len() as u64)))
    }
}

impl Sources {
    /// Reads from the first stream that has more, or none while none has. It blocks.
    fn read(&mut self) -> io::Result<Option<Block>> {
        for _ in 0..self.in_turn.len() {
            self.in_turn.rotate_left(1);
            let Some(source) = self.in_turn.back_mut() else { break };
            if let Some(bytes) = source.read()? {
                return Ok(Some(Block { stream: source.stream, bytes, end: source.position }));
            }
        }
        Ok(None)
    }
}

impl Source {
    /// Reads the next bytes, or none while there are no more. It blocks.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        match std::mem::replace(&mut self.begin, Begin::Here) {
            Begin::Here => {}
            Begin::AtTail(lines) => self.open_at(tail(&self.dir, self.stream, lines)?)?,
            Begin::At(position) => {
                self.open_at(holding(&self.dir, self.stream, position)?)?;
                // The part may have been dropped in the meantime; the next one tells how much is
                // missing.
                if self.successor()?.is_some() {
                    self.position = self.position.max(position);
                }
            }
        }

        loop {
            if let Some(bytes) = self.read_current()? {
                return Ok(Some(bytes));
            }
            let Some(next) = self.successor()? else { return Ok(None) };
            // A part is complete once it has a successor: first read the bytes that came since the
            // last read.
            if let Some(bytes) = self.read_current()? {
                return Ok(Some(bytes));
            }

            let file = match next.open() {
                // The writer has gone on in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };

            let dropped = next.offset.saturating_sub(self.position);
            self.current = Some(Open { offset: next.offset, file });
            self.position = next.offset;
            if dropped > 0 {
                let marker = format!("\n[{dropped} bytes of output dropped]\n");
                return Ok(Some(marker.into()));
            }
        }
    }

    fn read_current(&mut self) -> io::Result<Option<Bytes>> {
        let Some(Open { file, .. }) = &mut self.current else { return Ok(None) };
        let mut bytes = Vec::with_capacity(READ_BYTES);
        let len = file.take(READ_BYTES as u64).read_to_end(&mut bytes)?;
        bytes.shrink_to_fit();
        self.position += len as u64;
        Ok(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }

    /// Returns the part after the open one, of those that still exist.
    fn successor(&self) -> io::Result<Option<Part>> {
        let after = self.current.as_ref().map(|open| open.offset);
        let parts = parts(&self.dir, self.stream)?;
        Ok(parts.into_iter().find(|part| after.is_none_or(|after| part.offset > after)))
    }

    fn open_at(&mut self, place: Option<(Open, u64)>) -> io::Result<()> {
        if let Some((mut open, at)) = place {
            open.file.seek(SeekFrom::Start(at))?;
            self.position = open.offset + at;
            self.current = Some(open);
        }
        Ok(())
    }
}

/// Finds the part, and the offset in it, that hold a position of the stream, as far as the stream
/// goes.
fn holding(dir: &Path, stream: OutputStream, position: u64) -> io::Result<Option<(Open, u64)>> {
    let parts = parts(dir, stream)?;
    let Some(part) = parts.into_iter().rfind(|part| part.offset <= position) else {
        return Ok(None);
    };
    match part.open() {
        // The writer has gone on in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let file = file?;
            let at = (position - part.offset).min(file.metadata()?.len());
            Ok(Some((Open { offset: part.offset, file }, at)))
        }
    }
}

/// Finds the part, and the offset in it, at which the last `lines` lines begin.
fn tail(dir: &Path, stream: OutputStream, lines: u64) -> io::Result<Option<(Open, u64)>> {
    let mut begins = None;
    // A line break at the very end closes the last line and begins no other.
    let mut closes_last = true;
    let mut breaks_left = lines;

    for part in parts(dir, stream)?.into_iter().rev() {
        let file = match part.open() {
            // The writer has gone on in the meantime, and older parts are gone too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            file => file?,
        };

        let mut end = file.metadata()?.len();
        if lines == 0 {
            return Ok(Some((Open { offset: part.offset, file }, end)));
        }

        while end > 0 {
            let start = end.saturating_sub(BLOCK_BYTES);
            let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
            file.read_exact_at(&mut block, start)?;
            for (position, byte) in block.iter().enumerate().rev() {
                if std::mem::take(&mut closes_last) || *byte != b'\n' {
                    continue;
                }
                if breaks_left <= 1 {
                    let after_break = start + position as u64 + 1;
                    return Ok(Some((Open { offset: part.offset, file }, after_break)));
                }
                breaks_left -= 1;
            }
            end = start;
        }
        begins = Some((Open { offset: part.offset, file }, 0));
    }
    Ok(begins)
}

#[cfg(test)]
mod tests;
