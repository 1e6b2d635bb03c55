//! Writes one stream within its limit: keeps its beginning, and the latest part of the rest.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use proto::output::OutputStream;

use super::parts::Part;

/// Bytes kept of the beginning, where a program says what it is about to do.
const HEAD_BYTES_MAX: u64 = 1 << 20;
/// Number of parts that hold the latest output; the oldest makes room for a new one.
const TAIL_PARTS: u64 = 2;

/// Maximum sizes of the parts of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    head: u64,
    tail_part: u64,
}

impl Bounds {
    /// Returns the bounds of a stream of which that many bytes are kept.
    pub(super) fn of(stream_bytes_max: u64) -> Self {
        let head = HEAD_BYTES_MAX.min(stream_bytes_max.div_ceil(2));
        let tail_part = (stream_bytes_max - head).div_ceil(TAIL_PARTS).max(1);
        Self { head: head.max(1), tail_part }
    }
}

/// A stream that is being written.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    dir: PathBuf,
    stream: OutputStream,
    bounds: Bounds,
    file: File,
    /// Position in the stream at which the file begins.
    begins_at: u64,
    /// Position of the next byte in the stream.
    position: u64,
    /// Offsets at which the parts of the tail begin.
    tail: VecDeque<u64>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Keeping,
    /// The disk refused the last output, and the marker has been written as well as possible.
    Losing,
}

impl StreamWriter {
    /// Creates the first file of a stream.
    pub(super) fn create(dir: &Path, stream: OutputStream, bounds: Bounds) -> io::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            stream,
            bounds,
            file: Part::new(dir, stream, 0).create()?,
            begins_at: 0,
            position: 0,
            tail: VecDeque::new(),
            state: State::Keeping,
        })
    }

    /// Returns the stream that it writes.
    pub(super) const fn stream(&self) -> OutputStream {
        self.stream
    }

    /// Appends output. If that fails, the rest of it is lost, which a marker in the file and the
    /// error of the first failure tell; later output is tried again.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.append(bytes) {
            Ok(()) => {
                self.state = State::Keeping;
                Ok(())
            }
            Err(_) if self.state == State::Losing => Ok(()),
            Err(error) => {
                self.state = State::Losing;
                self.mark_loss(&error);
                Err(error)
            }
        }
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room();
            if room == 0 {
                self.begin_part()?;
                continue;
            }
            let len = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let written = match self.file.write(bytes.get(..len).unwrap_or(bytes)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                written => written?,
            };
            self.position += u64::try_from(written).unwrap_or(0);
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn room(&self) -> u64 {
        let bound = if self.begins_at == 0 { self.bounds.head } else { self.bounds.tail_part };
        bound.saturating_sub(self.position - self.begins_at)
    }

    fn begin_part(&mut self) -> io::Result<()> {
        let part = Part::new(&self.dir, self.stream, self.position);
        self.file = part.create()?;
        self.begins_at = part.offset;
        self.tail.push_back(part.offset);
        let surplus = self.tail.len() as u64 > TAIL_PARTS;
        if let Some(oldest) = self.tail.front().copied().filter(|_| surplus) {
            fs::remove_file(Part::new(&self.dir, self.stream, oldest).path)?;
            self.tail.pop_front();
        }
        Ok(())
    }

    /// Notes in the file that output is missing. A full disk may have no room even for that: then
    /// the marker replaces the last output that was kept.
    pub(super) fn mark_loss(&mut self, error: &io::Error) {
        let reason = if error.kind() == io::ErrorKind::StorageFull {
            "no space left".to_owned()
        } else {
            error.to_string()
        };
        let marker = format!("\n[output lost: {reason}]\n");

        let len = self.position - self.begins_at;
        let marker_len = marker.len() as u64;
        let end = if self.file.write_all_at(marker.as_bytes(), len).is_ok() {
            len + marker_len
        } else if self.file.write_all_at(marker.as_bytes(), len.saturating_sub(marker_len)).is_ok()
        {
            len.max(marker_len)
        } else {
            return;
        };

        // The marker counts as output, so that the positions of later parts stay right.
        if self.file.seek(SeekFrom::Start(end)).is_ok() {
            self.position = self.begins_at + end;
        }
    }
}

#[cfg(test)]
impl StreamWriter {
    /// Redirects the output to `file`.
    pub(super) fn divert(&mut self, file: File) {
        self.file = file;
    }
}
