//! The limit of open files, of which every connection takes one.

use daemon::open_files::{hard_limit, raise};

/// The operating system allows too few open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed, and the hard limit is {allowed}: raise it (ulimit -Hn, \
     LimitNOFILE= in systemd, --ulimit nofile= in Docker) or simulate fewer workers"
)]
pub(crate) struct TooFewFiles {
    pub(crate) needed: u64,
    pub(crate) allowed: u64,
}

/// Raises the soft limit, or refuses when even the hard one is not enough.
pub(crate) fn require(needed: u64) -> Result<(), TooFewFiles> {
    let allowed = allowed();
    if allowed < needed {
        return Err(TooFewFiles { needed, allowed });
    }
    // What cannot be raised shows when a file cannot be opened.
    raise().ok();
    Ok(())
}

/// Returns the hard limit of open files, which this process and its children may use.
pub(crate) fn allowed() -> u64 {
    hard_limit().unwrap_or(0)
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
