//! `snapshot`: saves backups, looks into them and restores them.

mod inspect;
mod restore;
mod save;
mod target;

use std::path::Path;

use super::Context;
use crate::args::SnapshotCommand;
use crate::failure::Failure;

pub(super) async fn run(context: &Context, command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Save { file, force } => save::run(context, &file, force).await,
        SnapshotCommand::Restore(args) => restore::run(context, &args),
        SnapshotCommand::Inspect { file } => inspect::run(context, &file),
    }
}

/// Returns true for the name that stands for standard input and output.
fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}
