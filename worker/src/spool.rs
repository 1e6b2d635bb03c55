//! Stores results that no leader has confirmed yet. One thread owns the file and syncs it once for
//! all waiting results.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use cluster_state::{AttemptRef, FinishedAttempt};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::disk::{Disk, OutOfSpace};

pub(crate) mod results_file;

use results_file::{Entry, ResultsFile};

/// Handle on the spool's thread.
#[derive(Debug)]
pub(crate) struct Spool {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// Reason that results are not on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// There is no room for them; there may be later.
    #[error("no space left for results")]
    Full,
    /// The file did not take them; it may do so later.
    #[error("cannot write results: {0}")]
    Write(String),
    /// The content of the disk is unknown, and another try would not tell.
    #[error("cannot sync results: {0}")]
    Sync(String),
}

impl SpoolError {
    /// Returns true if the same results may be written again.
    #[must_use]
    pub(crate) const fn is_retryable(&self) -> bool {
        match self {
            Self::Full | Self::Write(_) => true,
            Self::Sync(_) => false,
        }
    }

    fn of_write(error: &io::Error) -> Self {
        if error.is_out_of_space() { Self::Full } else { Self::Write(error.to_string()) }
    }
}

impl OutOfSpace for SpoolError {
    fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Full)
    }
}

#[derive(Debug)]
enum Request {
    Store(Vec<FinishedAttempt>, oneshot::Sender<Result<(), SpoolError>>),
    Forget(Vec<AttemptRef>),
}

impl Spool {
    /// Opens the spool in `dir` and returns it with the results that wait in it.
    pub(crate) fn open(dir: &Path, disk: Arc<Disk>) -> io::Result<(Self, Vec<FinishedAttempt>)> {
        fs::create_dir_all(dir)?;
        let results = ResultsFile::open(dir, disk)?;
        let waiting = results.live().collect::<Vec<_>>();
        let (requests, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || serve(results, &inbox))?;
        Ok((Self { requests: Some(requests), thread: Some(thread) }, waiting))
    }

    /// Stores results; returns once they are sure to survive a power cut.
    pub(crate) async fn store(&self, results: Vec<FinishedAttempt>) -> Result<(), SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Store(results, reply));
        answer.await.unwrap_or_else(|_| Err(SpoolError::Sync("the spool is closed".to_owned())))
    }

    /// Forgets results that the leader has confirmed. Losing this in a crash only repeats a report.
    pub(crate) fn forget(&self, attempts: Vec<AttemptRef>) {
        if !attempts.is_empty() {
            self.send(Request::Forget(attempts));
        }
    }

    fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // A closed channel drops the request, and the caller sees that.
            requests.send(request).unwrap_or_else(|_| warn!("spool has stopped"));
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("spool thread panicked");
        }
    }
}

fn serve(mut results: ResultsFile, inbox: &mpsc::Receiver<Request>) {
    let mut trouble = Trouble::default();
    while let Ok(first) = inbox.recv() {
        let mut entries = Vec::new();
        let mut waiting = Vec::new();
        for request in std::iter::once(first).chain(inbox.try_iter()) {
            match request {
                Request::Store(finished, reply) => {
                    entries.extend(finished.into_iter().map(Entry::Finished));
                    waiting.push(reply);
                }
                Request::Forget(attempts) => {
                    entries.extend(attempts.into_iter().map(Entry::Confirmed));
                }
            }
        }

        let outcome = results.append(entries, !waiting.is_empty());
        trouble.log(&outcome);
        for reply in waiting {
            // The caller may be gone.
            reply.send(outcome.clone()).unwrap_or_default();
        }
        if outcome.is_err_and(|error| !error.is_retryable()) {
            return;
        }
    }
}

/// Logs a failure when it begins, changes and ends: the same results are tried again and again.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<String>,
}

impl Trouble {
    fn log(&mut self, outcome: &Result<(), SpoolError>) {
        let reason = outcome.as_ref().err().map(ToString::to_string);
        if reason == self.told {
            return;
        }
        match &reason {
            Some(error) => warn!(error, "cannot store results, trying again"),
            None => info!("results are stored again"),
        }
        self.told = reason;
    }
}

#[cfg(test)]
mod tests;
