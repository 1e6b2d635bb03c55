//! Prepares the process in which the worker runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::open_files::OpenFiles;
use crate::processes::Children;

/// This program, even if its file was replaced or removed.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The process in which a worker runs.
#[derive(Debug, Clone)]
pub struct Host {
    /// Children of the process.
    pub(crate) children: Arc<Children>,
    /// The program that keeps watch over the worker, if there is one.
    pub(crate) keeper: Option<PathBuf>,
    /// Limit of open files.
    pub(crate) open_files: OpenFiles,
}

impl Host {
    /// Prepares a process that is the worker's alone: limits are raised, and orphans of its tasks
    /// become its children. Its program must be able to run as a [keeper](crate::keeper).
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            children: Arc::new(Children::adopting()),
            keeper: Some(OWN_PROGRAM.into()),
            open_files: OpenFiles::raise()?,
        })
    }

    /// Prepares a process that does other things, too: nothing about it is changed.
    pub fn shared() -> io::Result<Self> {
        Ok(Self {
            children: Arc::new(Children::aside()),
            keeper: None,
            open_files: OpenFiles::read()?,
        })
    }
}
