//! Prepares the process in which the worker runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::open_files::OpenFiles;
use crate::processes::Children;

/// This program, whatever has become of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The process in which a worker runs.
#[derive(Debug, Clone)]
pub struct Host {
    /// The processes that are started.
    pub(crate) children: Arc<Children>,
    /// The program that keeps watch over the worker, if there is one.
    pub(crate) keeper: Option<PathBuf>,
    /// Limit of open files.
    pub(crate) open_files: OpenFiles,
}

impl Host {
    /// The process is the worker's alone: it takes what it can get, and orphans of its tasks fall
    /// to it. Its program knows how to be a [keeper](crate::keeper).
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            children: Arc::new(Children::adopting()),
            keeper: Some(OWN_PROGRAM.into()),
            open_files: OpenFiles::raise()?,
        })
    }

    /// The process does other things, too: it stays as it is.
    pub fn shared() -> io::Result<Self> {
        Ok(Self {
            children: Arc::new(Children::aside()),
            keeper: None,
            open_files: OpenFiles::read()?,
        })
    }
}
