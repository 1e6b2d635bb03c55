//! Limits of open files: raises them at the start, and divides them between attempts and readers of
//! logs.

use std::io;

use daemon::open_files::{raise, soft_limit};
use nix::unistd::Pid;

/// An attempt takes two pipes, two files for its output, and a descriptor to await its end.
const FILES_BY_ATTEMPT: u64 = 5;
/// A reader of a log has a file of each output open.
const FILES_BY_READER: u64 = 2;
/// For connections of masters, the spool, the listener, starts and other short-lived files.
const FILES_RESERVED: u64 = 96;
/// Readers never get more than this share of all files.
const READERS_SHARE: u64 = 8;
const READERS_MAX: u64 = 256;

/// Limit of open files of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    limit: u64,
    /// Soft limit before it was raised.
    before: Option<u64>,
}

impl OpenFiles {
    /// Reads the present limit.
    pub(crate) fn read() -> io::Result<Self> {
        Ok(Self { limit: soft_limit()?, before: None })
    }

    /// Raises the soft limit to the hard one.
    pub(crate) fn raise() -> io::Result<Self> {
        let limit = raise()?;
        let before = (limit.before != limit.now).then_some(limit.before);
        Ok(Self { limit: limit.now, before })
    }

    /// Returns the limit.
    #[must_use]
    pub(crate) const fn limit(self) -> u64 {
        self.limit
    }

    /// Returns the soft limit of tasks, where it differs from the worker's.
    #[must_use]
    pub(crate) const fn before(self) -> Option<u64> {
        self.before
    }

    /// Returns the number of attempts that may run at the same time.
    #[must_use]
    pub(crate) fn attempts_max(self) -> usize {
        let readers = self.readers() * FILES_BY_READER;
        let free = self.limit.saturating_sub(FILES_RESERVED + readers);
        usize::try_from(free / FILES_BY_ATTEMPT).unwrap_or(usize::MAX).max(1)
    }

    /// Returns the number of logs that may be read at the same time.
    #[must_use]
    pub(crate) fn readers_max(self) -> usize {
        usize::try_from(self.readers()).unwrap_or(usize::MAX)
    }

    fn readers(self) -> u64 {
        (self.limit / READERS_SHARE / FILES_BY_READER).clamp(1, READERS_MAX)
    }
}

/// Sets the soft limit of another process.
pub(crate) fn set_soft(process: Pid, soft: u64) -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, prlimit};

    // The hard limit is inherited, so it is this process's.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = rustix::process::Rlimit { current: Some(soft), maximum };
    let process = rustix::process::Pid::from_raw(process.as_raw());
    prlimit(process, Resource::Nofile, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_fits_into_the_limit() {
        for limit in [128, 256, 1_024, 20_000, 1 << 20] {
            let files = OpenFiles { limit, before: None };
            let attempts = u64::try_from(files.attempts_max()).unwrap() * FILES_BY_ATTEMPT;
            let readers = u64::try_from(files.readers_max()).unwrap() * FILES_BY_READER;
            assert!(attempts + readers + FILES_RESERVED <= limit, "{limit}");
        }
    }

    #[test]
    fn a_worker_with_very_few_files_still_runs_one_attempt() {
        let files = OpenFiles { limit: 20, before: None };
        assert_eq!((files.attempts_max(), files.readers_max()), (1, 1));
    }
}
