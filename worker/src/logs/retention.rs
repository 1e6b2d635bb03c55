//! Removes the directories of old attempts, so that logs do not fill the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::Logs;

/// Which attempts' directories are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Those younger than this.
    pub(crate) age: Duration,
    /// Of those, the youngest so many.
    pub(crate) attempts_max: usize,
}

struct AttemptDir {
    path: PathBuf,
    changed_at: SystemTime,
}

impl Logs {
    /// Removes what is not to be kept. It walks the disk: call it where blocking is allowed.
    pub(crate) fn remove_old(&self, retention: Retention) {
        match self.ended_dirs() {
            Ok(dirs) => {
                let removed = remove_beyond(dirs, retention);
                if removed > 0 {
                    info!(attempts = removed, "old logs removed");
                }
            }
            Err(error) => warn!(%error, "old logs not removed"),
        }
    }

    fn ended_dirs(&self) -> io::Result<Vec<AttemptDir>> {
        let live = self.live().keys().map(|attempt| self.dir(*attempt)).collect::<BTreeSet<_>>();
        let mut dirs = Vec::new();
        for task in children(&self.root)? {
            for path in children(&task)? {
                if live.contains(&path) {
                    continue;
                }
                // Gone meanwhile is as good as removed.
                if let Ok(changed_at) = path.metadata().and_then(|metadata| metadata.modified()) {
                    dirs.push(AttemptDir { path, changed_at });
                }
            }
        }
        Ok(dirs)
    }
}

fn remove_beyond(mut dirs: Vec<AttemptDir>, retention: Retention) -> usize {
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.changed_at));
    let is_old = |dir: &AttemptDir| dir.changed_at.elapsed().is_ok_and(|age| age > retention.age);
    let mut removed = 0;
    for (position, dir) in dirs.iter().enumerate() {
        if position < retention.attempts_max && !is_old(dir) {
            continue;
        }
        match fs::remove_dir_all(&dir.path) {
            Ok(()) => removed += 1,
            Err(error) => warn!(path = %dir.path.display(), %error, "old log not removed"),
        }
        if let Some(task) = dir.path.parent() {
            // It stays while it holds other attempts.
            fs::remove_dir(task).unwrap_or_default();
        }
    }
    removed
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
