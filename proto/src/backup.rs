//! Backups of a cluster: one file that describes itself, and says of itself whether it is whole.
//!
//! ```text
//! cloudai-backup 1\n
//! section*   kind (1 byte), length of the body (4 bytes), CRC-32 of the body (4 bytes),
//!            CRC-32 of these nine bytes (4 bytes), body
//! ```
//!
//! The sections are a summary, which is JSON; a manifest, which is JSON and names the files; their
//! content in chunks, file after file; and the end, which holds the SHA-256 of everything before it.
//! Numbers are big-endian. A file that is cut has no end, and one that was altered has another digest.

mod decode;
mod encode;
mod read;
mod summary;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use decode::{BackupError, Damage, Decoder};
pub use encode::Encoder;
pub use read::{ReadError, Reader};
pub use summary::{BackupMember, Summary};

/// Format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// First words of every backup, before the number of its format.
const MAGIC: &str = "cloudai-backup ";

/// Length of a section's head.
const HEAD_BYTES: usize = 13;

/// Maximum length of a section's body: chunks have a mebibyte, and a manifest names some hundred
/// bytes a file.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Kind of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Summary,
    Manifest,
    Chunk,
    End,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Summary => 1,
            Self::Manifest => 2,
            Self::Chunk => 3,
            Self::End => 4,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Summary, Self::Manifest, Self::Chunk, Self::End]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Summary => "the summary",
            Self::Manifest => "the list of files",
            Self::Chunk => "a part of a file",
            Self::End => "the end",
        })
    }
}

/// A part of one of the files that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// Position of the file in the manifest.
    pub file: u32,
    /// Offset in the file.
    pub offset: u64,
    pub bytes: Bytes,
}

/// A section that was read, and found intact.
#[derive(Debug, Clone, PartialEq)]
pub enum Section {
    Summary(Box<Summary>),
    /// JSON, which only a master reads as a whole.
    Manifest(Bytes),
    Part(FilePart),
    /// Nothing is missing, and nothing was altered.
    End(Digest),
}

/// SHA-256 of a backup without its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Derives a digest of this and other facts, which tells apart how they are divided.
    #[must_use]
    pub fn derive(&self, facts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        digest.update(self.0);
        for fact in facts {
            digest.update(u64::try_from(fact.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(fact);
        }
        Self(digest.finalize().into())
    }

    /// Returns a number that hardly any other digest has.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
