//! Reads a backup from a file.

use std::io::{self, Read};

use super::{BackupError, Decoder, Section};

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 << 10;

/// Reason that a backup cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its file cannot be read.
    #[error("the backup cannot be read")]
    Io(#[from] io::Error),
    /// Its content is not a whole backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Reads the sections of a backup one by one.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Self {
        Self { source, decoder: Decoder::default(), buffer: vec![0; READ_BYTES] }
    }

    /// Returns the number of bytes that have been read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.decoder.bytes()
    }

    /// Returns the next section; none behind the end.
    ///
    /// # Errors
    ///
    /// If the rest is not that of a whole backup.
    pub fn next_section(&mut self) -> Result<Option<Section>, ReadError> {
        loop {
            if let Some(section) = self.decoder.next_section()? {
                return Ok(Some(section));
            }
            let read = match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                self.decoder.finish()?;
                return Ok(None);
            }
            self.decoder.push(self.buffer.get(..read).unwrap_or_default());
        }
    }
}
