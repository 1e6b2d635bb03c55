//! Files of one stream: its beginning, and the latest parts of the rest, each named by the position
//! of its first byte.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use proto::output::OutputStream;

const FILE_MODE: u32 = 0o600;

/// One file of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Position of its first byte in the stream.
    pub(crate) offset: u64,
    pub(crate) path: PathBuf,
}

impl Part {
    /// Returns the part of `stream` that begins at `offset`.
    #[must_use]
    pub(crate) fn new(dir: &Path, stream: OutputStream, offset: u64) -> Self {
        Self { offset, path: dir.join(file_name(stream, offset)) }
    }

    /// Creates the file; fails if it exists.
    pub(crate) fn create(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        open_regular(&self.path, &mut options)
    }

    /// Opens the file for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        open_regular(&self.path, OpenOptions::new().read(true))
    }
}

/// Lists the existing parts of a stream, in order.
pub(crate) fn parts(dir: &Path, stream: OutputStream) -> io::Result<Vec<Part>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut parts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let offset = name.to_str().and_then(|name| offset_of(name, stream));
        parts.extend(offset.map(|offset| Part::new(dir, stream, offset)));
    }
    parts.sort_by_key(|part| part.offset);
    Ok(parts)
}

fn file_name(stream: OutputStream, offset: u64) -> String {
    if offset == 0 { stream.name().to_owned() } else { format!("{stream}.{offset}") }
}

fn offset_of(name: &str, stream: OutputStream) -> Option<u64> {
    let offset = match name.strip_prefix(stream.name())? {
        "" => 0,
        suffix => suffix.strip_prefix('.')?.parse().ok()?,
    };
    // `parse` would accept a sign and leading zeros, and the reader would look for a missing part
    // forever.
    (name == file_name(stream, offset)).then_some(offset)
}

/// Opens a regular file without following links or blocking: whatever was put in the file's place,
/// the worker neither reads nor writes anything but a regular file.
fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}
