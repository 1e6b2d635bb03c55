//! Outputs of processes: their names, and requests and chunks of them between master and worker.

use std::fmt;

use bytes::Bytes;
use cluster_state::{AttemptRef, ClusterId, WorkerId};

use crate::v1;

/// Bytes of a frame of HTTP/2, with its header, that carries a chunk: connections are read into
/// buffers of this size, so that a frame that waits for a slow reader keeps one buffer in memory.
pub const FRAME_BYTES: u32 = 8 << 10;
/// Maximum bytes of a chunk, unless the request says otherwise: with what describes it, one such
/// frame.
pub const CHUNK_BYTES: u32 = FRAME_BYTES - 32;
/// Maximum bytes of any chunk.
pub const CHUNK_BYTES_MAX: u32 = 8 * CHUNK_BYTES;

/// Rate for which a stream of output is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// Any: little waits for a reader who takes nothing.
    Narrow,
    /// That of a fast reader, for whom much is on its way at any time.
    Wide,
}

impl Flow {
    /// Returns the maximum bytes of a chunk.
    #[must_use]
    pub const fn chunk_bytes(self) -> u32 {
        match self {
            Self::Narrow => CHUNK_BYTES,
            Self::Wide => CHUNK_BYTES_MAX,
        }
    }

    /// Returns the bytes that may be on their way: more than one chunk, so that one is read while
    /// the next is on its way.
    #[must_use]
    pub const fn window_bytes(self) -> u32 {
        match self {
            Self::Narrow => 2 * CHUNK_BYTES,
            Self::Wide => 4 * CHUNK_BYTES_MAX,
        }
    }
}

/// One of the two outputs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A stream of a message that is neither output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stream {0} is neither stdout nor stderr")]
pub struct UnknownStream(i32);

impl OutputStream {
    /// Both, in the order in which they are read.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Returns its name, with which the names of its files begin, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Returns the output with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// Converts the field of a message; none when it is unspecified.
    ///
    /// # Errors
    ///
    /// When the number is that of a later version.
    pub fn of(wire: i32) -> Result<Option<Self>, UnknownStream> {
        match v1::OutputStream::try_from(wire) {
            Ok(v1::OutputStream::Unspecified) => Ok(None),
            Ok(v1::OutputStream::Stdout) => Ok(Some(Self::Stdout)),
            Ok(v1::OutputStream::Stderr) => Ok(Some(Self::Stderr)),
            Err(_) => Err(UnknownStream(wire)),
        }
    }

    /// Returns the field of a message: unspecified for none.
    #[must_use]
    pub fn number(stream: Option<Self>) -> i32 {
        match stream {
            None => v1::OutputStream::Unspecified.into(),
            Some(Self::Stdout) => v1::OutputStream::Stdout.into(),
            Some(Self::Stderr) => v1::OutputStream::Stderr.into(),
        }
    }
}

impl fmt::Display for OutputStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Request for the output of one attempt.
#[derive(Debug, Clone)]
pub struct OutputRequest {
    /// Cluster of the caller, once that is known.
    pub cluster: Option<ClusterId>,
    /// Worker that the caller means.
    pub worker: WorkerId,
    pub attempt: AttemptRef,
    /// One output, or both when absent.
    pub stream: Option<OutputStream>,
    /// True to go on until the attempt ends.
    pub follow: bool,
    pub flow: Flow,
    /// Position at which reading begins.
    pub place: OutputPlace,
}

/// Position of a reader in the output of an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputPlace {
    /// Byte offset in standard output.
    pub stdout: Option<u64>,
    /// Byte offset in standard error.
    pub stderr: Option<u64>,
    /// Number of lines at the end; it counts for a stream of which nothing has been read.
    pub tail_lines: Option<u64>,
}

/// Piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// Stream that it is from; absent for one of a later version.
    pub stream: Option<OutputStream>,
    pub data: Bytes,
    /// Byte offset in the stream after it.
    pub next_offset: u64,
}

impl OutputPlace {
    /// Moves the position past a chunk.
    pub const fn pass(&mut self, chunk: &OutputChunk) {
        match chunk.stream {
            Some(OutputStream::Stdout) => self.stdout = Some(chunk.next_offset),
            Some(OutputStream::Stderr) => self.stderr = Some(chunk.next_offset),
            None => {}
        }
    }
}

impl From<OutputRequest> for v1::StreamTaskLogsRequest {
    fn from(request: OutputRequest) -> Self {
        let OutputPlace { stdout, stderr, tail_lines } = request.place;
        Self {
            cluster_id: request.cluster.map(|id| id.to_string()).unwrap_or_default(),
            worker_id: request.worker.to_string(),
            attempt: Some(request.attempt.into()),
            stream: OutputStream::number(request.stream),
            follow: request.follow,
            tail_lines,
            stdout_offset: stdout,
            stderr_offset: stderr,
            chunk_bytes: Some(request.flow.chunk_bytes()),
        }
    }
}

impl From<v1::LogChunk> for OutputChunk {
    fn from(chunk: v1::LogChunk) -> Self {
        let stream = OutputStream::of(chunk.stream).ok().flatten();
        Self { stream, data: chunk.data, next_offset: chunk.next_offset }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_chunk_and_what_describes_it_fit_into_a_frame() {
        let chunk = v1::LogChunk {
            data: vec![b'x'; CHUNK_BYTES as usize].into(),
            next_offset: u64::MAX,
            stream: OutputStream::number(Some(OutputStream::Stderr)),
            ..v1::LogChunk::default()
        };
        let (http2_header, grpc_header) = (9, 5);
        assert!(http2_header + grpc_header + chunk.encoded_len() <= FRAME_BYTES as usize);
    }

    #[test]
    fn an_output_is_read_from_a_name_or_a_number() {
        for stream in OutputStream::ALL {
            assert_eq!(OutputStream::named(stream.name()), Some(stream));
        }
        for stream in [None, Some(OutputStream::Stdout), Some(OutputStream::Stderr)] {
            assert_eq!(OutputStream::of(OutputStream::number(stream)), Ok(stream));
        }
        let unknown = OutputStream::of(7).unwrap_err();
        assert_eq!(unknown.to_string(), "stream 7 is neither stdout nor stderr");
    }
}
