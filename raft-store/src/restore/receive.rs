//! Reads a backup's files into a directory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use proto::backup::{BackupError, Digest, FilePart, ReadError, Reader, Section, Summary};

use super::RestoreError;
use crate::files;
use crate::snapshot::Manifest;

/// A backup whose files are in their place, durably.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) manifest: Manifest,
    pub(super) summary: Summary,
    pub(super) digest: Digest,
}

pub(super) fn receive(
    source: impl Read,
    directory: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Received, RestoreError> {
    let mut reader = Reader::new(source);
    let (mut summary, mut digest) = (Summary::default(), None);
    let mut files = None::<Files<'_>>;
    while let Some(section) = reader.next_section()? {
        match section {
            Section::Summary(read) => summary = *read,
            Section::Manifest(bytes) => files = Some(Files::create(directory, &bytes)?),
            Section::Part(part) => {
                if let Some(files) = &mut files {
                    files.write(&part)?;
                }
                progress(reader.bytes(), summary.data_bytes);
            }
            Section::End(read) => digest = Some(read),
        }
    }
    let cut = || ReadError::Backup(BackupError::Cut { bytes: reader.bytes() });
    let (files, digest) = files.zip(digest).ok_or_else(cut)?;
    Ok(Received { manifest: files.finish()?, summary, digest })
}

/// The files that the manifest names, of which one is being written.
#[derive(Debug)]
struct Files<'a> {
    directory: &'a Path,
    manifest: Manifest,
    open: Option<(u32, File)>,
}

impl<'a> Files<'a> {
    fn create(directory: &'a Path, manifest: &[u8]) -> Result<Self, RestoreError> {
        let manifest = Manifest::decode(manifest)?;
        for file in &manifest.files {
            File::create_new(directory.join(&file.name))?;
        }
        Ok(Self { directory, manifest, open: None })
    }

    /// The parts come in order, and are those of the manifest.
    fn write(&mut self, part: &FilePart) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some((number, file)) if number == part.file => file,
            _ => {
                let described =
                    self.manifest.files.get(usize::try_from(part.file).unwrap_or(usize::MAX));
                let name = described.map(|file| &file.name).ok_or(io::ErrorKind::NotFound)?;
                File::options().append(true).open(self.directory.join(name))?
            }
        };
        file.write_all(&part.bytes)?;
        self.open = Some((part.file, file));
        Ok(())
    }

    fn finish(self) -> io::Result<Manifest> {
        for file in &self.manifest.files {
            File::open(self.directory.join(&file.name))?.sync_all()?;
        }
        files::sync_dir(self.directory)?;
        Ok(self.manifest)
    }
}
