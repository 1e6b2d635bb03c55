//! `snapshot inspect`: reads a backup to its end, and says what it holds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use daemon::progress::Progress;
use proto::backup::{BackupError, ReadError, Reader, Section, Summary};

use super::is_standard;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{self, InspectedSnapshot};

pub(super) fn run(context: &Context, file: &Path) -> Result<(), Failure> {
    let unreadable = |source| Failure::ReadFile { path: file.to_owned(), source };
    let source: Box<dyn Read> = if is_standard(file) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(unreadable)?)
    };
    let inspected = inspect(source).map_err(|error| match error {
        ReadError::Io(source) => unreadable(source),
        ReadError::Backup(source) => Failure::Backup { path: file.to_owned(), source },
    })?;
    context.output.data(&inspected, output::snapshot)
}

fn inspect(source: impl Read) -> Result<InspectedSnapshot, ReadError> {
    let (mut reader, mut progress) = (Reader::new(source), Progress::new("checked"));
    let (mut summary, mut digest, mut parts) = (Summary::default(), None, 0_u64);
    while let Some(section) = reader.next_section()? {
        match section {
            Section::Summary(read) => summary = *read,
            Section::Manifest(_) => {}
            Section::Part(part) => {
                parts = parts.saturating_add(u64::try_from(part.bytes.len()).unwrap_or(u64::MAX));
                progress.show(parts, summary.data_bytes);
            }
            Section::End(read) => digest = Some(read),
        }
    }
    progress.clear();

    let bytes = reader.bytes();
    let digest = digest.ok_or(BackupError::Cut { bytes })?;
    Ok(InspectedSnapshot { summary, bytes, sha256: digest.to_string() })
}
