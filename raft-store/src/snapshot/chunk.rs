//! Reads a snapshot's files in chunks, for sending.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::{Manifest, SnapshotData};
use crate::calls::Call;
use crate::error::StorageError;

/// Maximum bytes of a chunk: it fits any message limit, and a lost one is soon sent again.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// A part of one of a snapshot's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Position of the file in the manifest.
    pub file: u32,
    /// Offset in the file.
    pub offset: u64,
    /// CRC-32 of `bytes`.
    pub crc32: u32,
    pub bytes: Bytes,
}

/// Yields the chunks that a receiver lacks, file after file.
#[derive(Debug)]
pub struct ChunkReader {
    data: SnapshotData,
    manifest: Arc<Manifest>,
    offsets: Vec<u64>,
    file: usize,
    open: Option<Arc<File>>,
}

impl ChunkReader {
    pub(super) fn new(data: SnapshotData, manifest: Arc<Manifest>, offsets: &[u64]) -> Self {
        let mut offsets = offsets.to_vec();
        offsets.resize(manifest.files.len(), 0);
        Self { data, manifest, offsets, file: 0, open: None }
    }

    /// Returns the next chunk; none once all files have been read.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Chunk>, StorageError> {
        loop {
            let (Some(described), Some(offset)) =
                (self.manifest.files.get(self.file), self.offsets.get_mut(self.file))
            else {
                return Ok(None);
            };
            let left = described.len.saturating_sub(*offset);
            if left == 0 {
                self.file += 1;
                self.open = None;
                continue;
            }
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
            let path = self.data.path().join(&described.name);
            let (open, from) = (self.open.take(), *offset);
            let work = move || -> Result<_, StorageError> {
                let file = open.map_or_else(|| File::open(path).map(Arc::new), Ok)?;
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, from)?;
                Ok((file, bytes))
            };
            let (file, bytes) = self.data.0.calls.run_blocking(Call::SnapshotRead, work).await?;

            self.open = Some(file);
            *offset = from.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            return Ok(Some(Chunk {
                file: u32::try_from(self.file).map_err(io::Error::other)?,
                offset: from,
                crc32: crc32fast::hash(&bytes),
                bytes: bytes.into(),
            }));
        }
    }
}
