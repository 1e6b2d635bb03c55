//! Reads a backup as its bytes arrive, and checks every one of them.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{BODY_BYTES_MAX, Digest, FORMAT, FilePart, HEAD_BYTES, Kind, MAGIC, Section};

/// Maximum length of the first line.
const FIRST_LINE_BYTES_MAX: usize = 32;

/// Reason that bytes are not a whole backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It does not begin like a backup.
    #[error("this is not a backup of a cluster")]
    NotABackup,
    /// A newer release wrote it.
    #[error("the backup has format {found}, and this program knows formats up to {known}")]
    NewerFormat { found: u32, known: u32 },
    /// It ends too early.
    #[error("the backup is cut short: it ends after {bytes} bytes")]
    Cut { bytes: u64 },
    /// It is not as it was written.
    #[error("the backup is damaged at byte {at}: {damage}")]
    Damaged {
        /// Begin of the damaged section.
        at: u64,
        damage: Damage,
    },
    /// There is something behind its end.
    #[error("the backup ends at byte {at}, and is followed by something else")]
    Trailing { at: u64 },
}

/// Damage of a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The head of a section is not as it was written.
    #[error("the head of a section does not match its checksum")]
    Head,
    /// The body of a section is not as it was written.
    #[error("{0} does not match its checksum")]
    Body(Kind),
    /// A section is intact and makes no sense.
    #[error("{0} is malformed")]
    Malformed(Kind),
    /// A section is intact and does not follow the one before it.
    #[error("{0} is out of order")]
    Order(Kind),
    /// The parts of a file are intact and are not the file that the manifest names.
    #[error("file {0} does not match its checksum")]
    File(String),
    /// All sections are intact and are not those that were written.
    #[error("it does not match its digest")]
    Digest,
}

/// A file as the manifest names it.
#[derive(Debug, Deserialize)]
struct FileEntry {
    name: String,
    len: u64,
    crc32: u32,
}

/// The part of a manifest that the reader of a backup has to know.
#[derive(Debug, Deserialize)]
struct FileList {
    files: Vec<FileEntry>,
}

/// Files that have been read, and the one that is being read.
#[derive(Debug)]
struct Files {
    list: Vec<FileEntry>,
    current: usize,
    offset: u64,
    checksum: crc32fast::Hasher,
}

/// The section that comes next.
#[derive(Debug)]
enum Next {
    FirstLine,
    Summary,
    Manifest,
    Files(Files),
    Nothing,
}

/// Reads sections from bytes that arrive in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Number of bytes before `buffer`.
    at: u64,
    digest: Sha256,
    next: Next,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), at: 0, digest: Sha256::new(), next: Next::FirstLine }
    }
}

impl Decoder {
    /// Takes the bytes that follow. [`Self::next_section`] should be called until it has none.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next section, if all of it has arrived.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of a backup.
    pub fn next_section(&mut self) -> Result<Option<Section>, BackupError> {
        if matches!(self.next, Next::FirstLine) && !self.take_first_line()? {
            return Ok(None);
        }
        if matches!(self.next, Next::Nothing) {
            let is_whole = self.buffer.is_empty();
            return if is_whole { Ok(None) } else { Err(BackupError::Trailing { at: self.at }) };
        }

        let Some((kind, length, checksum)) = self.head()? else { return Ok(None) };
        let end = HEAD_BYTES + length;
        if self.buffer.len() < end {
            self.buffer.reserve(end - self.buffer.len());
            return Ok(None);
        }
        let at = self.at;
        let section = self.buffer.split_to(end).freeze();
        self.at = at.saturating_add(u64::try_from(end).unwrap_or(u64::MAX));
        let damaged = |damage| BackupError::Damaged { at, damage };
        let body = section.slice(HEAD_BYTES..);
        if crc32fast::hash(&body) != checksum {
            return Err(damaged(Damage::Body(kind)));
        }
        if kind != Kind::End {
            self.digest.update(&section);
        }
        self.read(kind, body).map(Some).map_err(damaged)
    }

    /// Returns the number of bytes that have arrived.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.at.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX))
    }

    /// Checks that everything has arrived.
    ///
    /// # Errors
    ///
    /// If the end is missing, or something follows it.
    pub fn finish(&self) -> Result<(), BackupError> {
        let bytes = self.bytes();
        match self.next {
            Next::Nothing if self.buffer.is_empty() => Ok(()),
            Next::Nothing => Err(BackupError::Trailing { at: self.at }),
            Next::FirstLine | Next::Summary | Next::Manifest | Next::Files(_) => {
                Err(BackupError::Cut { bytes })
            }
        }
    }

    /// Returns true once the first line is complete.
    fn take_first_line(&mut self) -> Result<bool, BackupError> {
        let begin = self.buffer.len().min(MAGIC.len());
        if self.buffer.get(..begin) != MAGIC.as_bytes().get(..begin) {
            return Err(BackupError::NotABackup);
        }
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            let is_too_long = self.buffer.len() > FIRST_LINE_BYTES_MAX;
            return if is_too_long { Err(BackupError::NotABackup) } else { Ok(false) };
        };

        let line = self.buffer.split_to(end + 1);
        let number = line.get(MAGIC.len()..end).and_then(|text| std::str::from_utf8(text).ok());
        let found = number.and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        let found = found.ok_or(BackupError::NotABackup)?;
        if found > FORMAT {
            return Err(BackupError::NewerFormat { found, known: FORMAT });
        }
        self.digest.update(&line);
        self.at = u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.next = Next::Summary;
        Ok(true)
    }

    /// Reads the head of the next section: its kind, and length and checksum of its body.
    fn head(&self) -> Result<Option<(Kind, usize, u32)>, BackupError> {
        let Some(mut head) = self.buffer.get(..HEAD_BYTES) else { return Ok(None) };
        let damaged = BackupError::Damaged { at: self.at, damage: Damage::Head };
        let of_head = crc32fast::hash(head.get(..HEAD_BYTES - 4).unwrap_or_default());

        let (number, length, checksum) = (head.get_u8(), head.get_u32(), head.get_u32());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kind = Kind::of(number).filter(|_| head.get_u32() == of_head);
        match kind {
            Some(kind) if length <= BODY_BYTES_MAX => Ok(Some((kind, length, checksum))),
            Some(_) | None => Err(damaged),
        }
    }

    fn read(&mut self, kind: Kind, mut body: Bytes) -> Result<Section, Damage> {
        let malformed = Damage::Malformed(kind);
        match (kind, &mut self.next) {
            (Kind::Summary, Next::Summary) => {
                let summary = serde_json::from_slice(&body).map_err(|_| malformed)?;
                self.next = Next::Manifest;
                Ok(Section::Summary(Box::new(summary)))
            }
            (Kind::Manifest, Next::Manifest) => {
                let FileList { files } = serde_json::from_slice(&body).map_err(|_| malformed)?;
                self.next = Next::Files(Files::new(files));
                Ok(Section::Manifest(body))
            }
            (Kind::Chunk, Next::Files(files)) => {
                if body.len() <= 12 {
                    return Err(malformed);
                }
                let (file, offset) = (body.get_u32(), body.get_u64());
                let part = FilePart { file, offset, bytes: body };
                files.take(&part)?;
                Ok(Section::Part(part))
            }
            (Kind::End, Next::Files(files)) if files.are_whole() => {
                let written = <[u8; 32]>::try_from(body.as_ref()).map_err(|_| malformed)?;
                let found = std::mem::take(&mut self.digest).finalize();
                if found.as_slice() != written {
                    return Err(Damage::Digest);
                }
                self.next = Next::Nothing;
                Ok(Section::End(Digest(written)))
            }
            (Kind::Summary | Kind::Manifest | Kind::Chunk | Kind::End, _) => {
                Err(Damage::Order(kind))
            }
        }
    }
}

impl Files {
    fn new(list: Vec<FileEntry>) -> Self {
        let mut files = Self { list, current: 0, offset: 0, checksum: crc32fast::Hasher::new() };
        files.skip_empty();
        files
    }

    /// Files without content have no parts.
    fn skip_empty(&mut self) {
        while self.list.get(self.current).is_some_and(|file| file.len == 0) {
            self.current += 1;
        }
    }

    fn are_whole(&self) -> bool {
        self.current >= self.list.len()
    }

    fn take(&mut self, part: &FilePart) -> Result<(), Damage> {
        let out_of_order = Damage::Order(Kind::Chunk);
        let Some(file) = self.list.get(self.current) else { return Err(out_of_order) };
        let is_next = usize::try_from(part.file) == Ok(self.current) && part.offset == self.offset;
        let end = part.offset.saturating_add(u64::try_from(part.bytes.len()).unwrap_or(u64::MAX));
        if !is_next || end > file.len {
            return Err(out_of_order);
        }

        self.offset = end;
        self.checksum.update(&part.bytes);
        if end == file.len {
            if std::mem::take(&mut self.checksum).finalize() != file.crc32 {
                return Err(Damage::File(file.name.clone()));
            }
            self.offset = 0;
            self.current += 1;
            self.skip_empty();
        }
        Ok(())
    }
}
