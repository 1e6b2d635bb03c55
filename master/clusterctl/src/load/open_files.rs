//! The limit of open files, of which every connection takes one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The operating system allows too few open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed, and the hard limit is {allowed}: raise it (ulimit -Hn, \
     LimitNOFILE= in systemd, --ulimit nofile= in Docker) or simulate fewer workers"
)]
pub struct TooFewFiles {
    pub needed: u64,
    pub allowed: u64,
}

/// Raises the soft limit as far as the hard one lets it.
///
/// # Errors
///
/// When that is not enough.
pub fn require(needed: u64) -> Result<(), TooFewFiles> {
    let allowed = hard_limit();
    if allowed < needed {
        return Err(TooFewFiles { needed, allowed });
    }
    // What cannot be raised shows when a file cannot be opened.
    setrlimit(Resource::RLIMIT_NOFILE, allowed, allowed).ok();
    Ok(())
}

/// Returns the hard limit of open files, which this process and its children may use.
#[must_use]
pub fn hard_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_named_with_the_remedy() {
        let error = require(u64::MAX).unwrap_err();
        assert!(error.to_string().contains("LimitNOFILE="), "{error}");
        assert_eq!(require(16), Ok(()));
    }
}
