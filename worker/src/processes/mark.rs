//! The mark that every process of an attempt carries in its environment.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

use cluster_state::{AttemptNumber, AttemptRef, Incarnation, TaskId};

/// The variable that holds the mark.
pub(crate) const MARK: &str = "CLOUDAI_MARK";

/// Identity of a worker's data directory on this machine, whichever process uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HomeId {
    device: u64,
    inode: u64,
}

/// Attempt, process start and worker to which a process belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Data directory of the worker.
    pub(crate) home: HomeId,
    /// Process start of the worker.
    pub(crate) incarnation: Incarnation,
    pub(crate) attempt: AttemptRef,
}

impl HomeId {
    /// Returns the identity of this directory.
    pub(crate) fn of(data_dir: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(data_dir)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Mark {
    /// Finds the mark in an environment, as `/proc` shows it.
    pub(crate) fn find(environment: &[u8]) -> Option<Self> {
        environment.split(|byte| *byte == 0).find_map(|variable| {
            let value = variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()?.parse().ok()
        })
    }
}

impl fmt::Display for HomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.device, self.inode)
    }
}

impl FromStr for HomeId {
    type Err = Unmarked;

    fn from_str(text: &str) -> Result<Self, Unmarked> {
        let (device, inode) = text.split_once('.').ok_or(Unmarked)?;
        let number = |text: &str| text.parse().map_err(|_| Unmarked);
        Ok(Self { device: number(device)?, inode: number(inode)? })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { home, incarnation, attempt } = self;
        write!(f, "{home}/{incarnation}/{}/{}", attempt.task, attempt.attempt.0)
    }
}

/// The text is no mark of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no mark of a worker")]
pub(crate) struct Unmarked;

impl FromStr for Mark {
    type Err = Unmarked;

    fn from_str(text: &str) -> Result<Self, Unmarked> {
        let mut words = text.split('/');
        let mut word = || words.next().ok_or(Unmarked);
        let home = word()?.parse()?;
        let incarnation = word()?.parse().map_err(|_| Unmarked)?;
        let task: TaskId = word()?.parse().map_err(|_| Unmarked)?;
        let attempt = AttemptNumber(word()?.parse().map_err(|_| Unmarked)?);
        let mark = Self { home, incarnation, attempt: AttemptRef { task, attempt } };
        // A mark has one text: no sign, no leading zero, and nothing after it.
        if mark.to_string() == text { Ok(mark) } else { Err(Unmarked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::attempt_ref;

    #[test]
    fn a_mark_is_found_among_other_variables() {
        let home = HomeId::of(Path::new("/")).unwrap();
        let mark = Mark { home, incarnation: Incarnation(7), attempt: attempt_ref(3, 2) };
        let environment = format!("A=b\0{MARK}={mark}\0C=d\0");

        assert_eq!(Mark::find(environment.as_bytes()), Some(mark));
        assert_eq!(Mark::find(b"A=b\0CLOUDAI_MARK=x/y\0CLOUDAI_MARKS=1\0\xff"), None);
    }
}
