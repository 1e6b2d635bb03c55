//! The environment of a task's processes: little of the worker's, and all of the task's.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// Variables that programs may expect to find anywhere.
const COMMON: [&str; 9] =
    ["PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANGUAGE"];
const LOCALE_PREFIX: &str = "LC_";
/// Variables with this prefix configure the worker, and hold its secrets.
const OWN_PREFIX: &str = "CLOUDAI_";

/// Variables of the worker's environment that tasks inherit: neither its credentials nor those of
/// its service manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    more: Vec<String>,
}

impl Passed {
    /// Creates a list with these variables besides the common ones.
    #[must_use]
    pub(crate) const fn with(more: Vec<String>) -> Self {
        Self { more }
    }

    /// Removes all other variables from a command. Clearing the environment and adding variables
    /// again would disable the fast way of starting processes.
    pub(super) fn restrict(&self, command: &mut Command) {
        for name in std::env::vars_os().map(|(name, _)| name) {
            if !self.allows(&name) {
                command.env_remove(name);
            }
        }
    }

    fn allows(&self, name: &OsString) -> bool {
        let Some(name) = OsStr::to_str(name) else { return false };
        if name.starts_with(OWN_PREFIX) {
            return false;
        }
        COMMON.contains(&name)
            || name.starts_with(LOCALE_PREFIX)
            || self.more.iter().any(|more| more == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_common_or_named_is_passed() {
        let passed = Passed::with(vec!["HTTPS_PROXY".to_owned(), "CLOUDAI_JOIN_TOKEN".to_owned()]);
        let allows = |name: &str| passed.allows(&name.into());
        assert!(["PATH", "LC_ALL", "TZ", "HTTPS_PROXY"].into_iter().all(allows));
        let others = ["AWS_SECRET_ACCESS_KEY", "NOTIFY_SOCKET", "LISTEN_FDS", "CLOUDAI_JOIN_TOKEN"];
        assert!(!others.into_iter().any(allows));
    }
}
