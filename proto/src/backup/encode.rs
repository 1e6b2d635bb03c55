//! Writes a backup section by section.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::{FORMAT, FilePart, HEAD_BYTES, Kind, MAGIC, Summary};

/// Writes the sections of one backup, in order. Keeps nothing of them but their digest.
#[derive(Debug, Default)]
pub struct Encoder {
    digest: Sha256,
}

impl Encoder {
    /// Returns the beginning: what it is, its summary, and its files.
    ///
    /// # Errors
    ///
    /// Only if the summary cannot be represented, which none is.
    pub fn begin(
        &mut self,
        summary: &Summary,
        manifest: &[u8],
    ) -> Result<Bytes, serde_json::Error> {
        let mut out = BytesMut::new();
        out.put_slice(format!("{MAGIC}{FORMAT}\n").as_bytes());
        put_section(&mut out, Kind::Summary, &[&serde_json::to_vec(summary)?]);
        put_section(&mut out, Kind::Manifest, &[manifest]);
        Ok(self.count(out))
    }

    /// Returns a section with a part of a file.
    pub fn part(&mut self, part: &FilePart) -> Bytes {
        let mut out = BytesMut::with_capacity(HEAD_BYTES + 12 + part.bytes.len());
        let (file, offset) = (part.file.to_be_bytes(), part.offset.to_be_bytes());
        put_section(&mut out, Kind::Chunk, &[&file, &offset, &part.bytes]);
        self.count(out)
    }

    /// Returns the end. Without it the backup is not whole.
    #[must_use]
    pub fn end(self) -> Bytes {
        let mut out = BytesMut::new();
        put_section(&mut out, Kind::End, &[self.digest.finalize().as_slice()]);
        out.freeze()
    }

    fn count(&mut self, out: BytesMut) -> Bytes {
        self.digest.update(&out);
        out.freeze()
    }
}

fn put_section(out: &mut BytesMut, kind: Kind, body: &[&[u8]]) {
    let mut checksum = crc32fast::Hasher::new();
    body.iter().for_each(|part| checksum.update(part));
    let length = body.iter().map(|part| part.len()).sum::<usize>();

    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.put_u8(kind.number());
    // A section is far smaller: the reader refuses one of more than some mebibytes.
    head.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    head.put_u32(checksum.finalize());
    let of_head = crc32fast::hash(&head);
    out.put_slice(&head);
    out.put_u32(of_head);
    body.iter().for_each(|part| out.put_slice(part));
}
