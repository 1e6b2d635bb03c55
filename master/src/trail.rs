//! The trail of orders, as one master takes part in it, and its file.

mod file;
mod line;
mod refusals;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster_state::Timestamp;
use parking_lot::Mutex;

pub(crate) use self::refusals::RefusalKind;
use self::refusals::{Refusals, Refused};
pub(crate) use self::writer::TrailFileError;
pub(crate) use self::writer::TrailWriter;

/// Knowledge about the trail that the parts of a master share. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// True if submissions are on record. A copy of the setting: looking into the state would cost
    /// each submission a wait for the lock under which others are applied.
    has_submissions: AtomicBool,
    /// Refused requests that are to be written; none where there is no file.
    refusals: Option<Mutex<Refusals>>,
}

impl Trail {
    /// Returns the trail of a master that has a file for it, or none.
    pub(crate) fn new(has_file: bool) -> Self {
        let refusals = has_file.then(Mutex::default);
        Self { shared: Arc::new(Shared { refusals, ..Shared::default() }) }
    }

    /// Returns true if submissions are on record.
    pub(crate) fn has_submissions(&self) -> bool {
        self.shared.has_submissions.load(Ordering::Relaxed)
    }

    /// Puts submissions on record from now on, or no more.
    pub(crate) fn set_submissions(&self, has_submissions: bool) {
        self.shared.has_submissions.store(has_submissions, Ordering::Relaxed);
    }

    /// Notes a refused request for the file. It never gets into the log: a stranger must not write
    /// there.
    pub(crate) fn on_refused(
        &self,
        kind: impl FnOnce() -> RefusalKind,
        now: Timestamp,
        request: impl std::fmt::Display,
    ) {
        if let Some(refusals) = &self.shared.refusals {
            refusals.lock().note(kind(), now, request.to_string());
        }
    }

    fn take_refusals(&self) -> Vec<Refused> {
        self.shared.refusals.as_ref().map(|refusals| refusals.lock().take()).unwrap_or_default()
    }
}
