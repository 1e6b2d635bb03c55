//! Limit of the files that this process may have open.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Soft limit, before and after an attempt to raise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Limit with which the process was started.
    pub before: u64,
    /// Limit that is in force.
    pub now: u64,
}

/// Reads the soft limit.
pub fn soft_limit() -> io::Result<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(soft)
}

/// Reads the limit up to which the soft one can be raised.
pub fn hard_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(hard)
}

/// Raises the soft limit, which is often too low for a fleet or for hundreds of attempts, to the
/// hard one. A limit that cannot be raised stays, with a warning.
pub fn raise() -> io::Result<Limit> {
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => {
            tracing::debug!(limit = hard, "limit of open files raised");
            Ok(Limit { before, now: hard })
        }
        Err(error) => {
            tracing::warn!(%error, "limit of open files not raised");
            Ok(Limit { before, now: before })
        }
    }
}
