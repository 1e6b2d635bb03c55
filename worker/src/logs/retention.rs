//! Removes logs and working directories of old attempts, so that they do not fill the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use cluster_state::TaskId;
use tracing::{info, warn};

use super::Logs;
use super::file_clock::{FileClock, Reading};
use crate::clock::Moment;

/// Unit in which a file's blocks are counted.
const BLOCK_BYTES: u64 = 512;
/// Nothing is removed for its age before: a machine's clock may be wrong until it has been
/// synchronized.
pub(super) const CLOCK_PATIENCE: Duration = Duration::from_hours(1);

/// Bounds on the remains of attempts that have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Time since the end of the attempt.
    pub(crate) age: Duration,
    /// Number of attempts, by the order of their ends.
    pub(crate) attempts_max: usize,
    /// Bytes that all of them take together.
    pub(crate) bytes_max: u64,
}

/// Removes the remains that exceed the bounds, at intervals.
#[derive(Debug)]
pub(crate) struct Sweeper {
    logs: Logs,
    retention: Retention,
    clock: FileClock,
    began_at: Moment,
    /// Remains of ended attempts, measured once: they do not change any more.
    ended: BTreeMap<Key, Remains>,
}

/// Name of an attempt's directory below those of all logs and of all tasks.
type Key = (OsString, OsString);

/// Files that an attempt left on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remains {
    /// Time of the last write, and no later than the first sighting.
    ended_at: SystemTime,
    pub(super) bytes: u64,
}

impl Default for Remains {
    fn default() -> Self {
        Self { ended_at: SystemTime::UNIX_EPOCH, bytes: 0 }
    }
}

impl Sweeper {
    /// Creates a sweeper of these logs.
    pub(crate) fn new(logs: Logs, retention: Retention) -> Self {
        Self::starting(Reading::take(), logs, retention)
    }

    pub(super) const fn starting(at: Reading, logs: Logs, retention: Retention) -> Self {
        let clock = FileClock::starting(at);
        Self { logs, retention, clock, began_at: at.moment, ended: BTreeMap::new() }
    }

    /// Removes the remains that exceed the bounds. It walks the disk: call it where blocking is
    /// allowed.
    pub(crate) fn sweep(&mut self) {
        self.sweep_at(Reading::take());
    }

    pub(super) fn sweep_at(&mut self, reading: Reading) {
        let now = self.clock.time(reading);
        if let Err(error) = self.measure_ended(now) {
            warn!(%error, "cannot look for old logs");
            return;
        }

        let is_clock_believed = reading.moment.since(self.began_at) >= CLOCK_PATIENCE;
        let surplus = self.surplus(is_clock_believed.then_some(now));
        let mut removed = 0;
        for key in &surplus {
            match self.remove(key) {
                Ok(()) => removed += 1,
                Err(error) => {
                    let (task, attempt) = key;
                    warn!(?task, ?attempt, %error, "cannot remove old logs");
                }
            }
        }

        if removed > 0 {
            info!(attempts = removed, "old logs removed");
        }
    }

    /// Measures the remains of attempts that have ended since the last pass.
    fn measure_ended(&mut self, now: SystemTime) -> io::Result<()> {
        let mut keys = self.attempts()?;
        // Read after the disk: a directory whose attempt had not ended is among them.
        let live = self.logs.live().keys().map(|a| self.logs.dir(*a)).collect::<BTreeSet<_>>();
        keys.retain(|key| !live.contains(&below(&self.logs.shared.logs, key)));

        let mut ended = BTreeMap::new();
        for key in keys {
            let known = self.ended.get(&key).copied();
            let mut remains = known.unwrap_or_else(|| self.measure(&key));
            // A stamp from the future is a wrong clock's, and must not outlast later ones.
            remains.ended_at = remains.ended_at.min(now);
            ended.insert(key, remains);
        }
        self.ended = ended;
        Ok(())
    }

    /// Lists the directories of attempts. Other names are not the worker's to remove, such as those
    /// that a check of the file system has left.
    fn attempts(&self) -> io::Result<BTreeSet<Key>> {
        let is_task = |name: &OsString| parsed::<TaskId>(name).is_some();
        let is_attempt = |name: &OsString| parsed::<u32>(name).is_some();
        let mut keys = BTreeSet::new();
        for root in self.roots() {
            for task in names(root)?.into_iter().filter(is_task) {
                let attempts = names(&root.join(&task))?.into_iter().filter(is_attempt);
                keys.extend(attempts.map(|attempt| (task.clone(), attempt)));
            }
        }
        Ok(keys)
    }

    fn measure(&self, key: &Key) -> Remains {
        let mut remains = Remains::default();
        for root in self.roots() {
            remains.add(&below(root, key));
        }
        remains
    }

    /// Returns the oldest remains that exceed the bounds. Ages count once the time is known.
    fn surplus(&self, now: Option<SystemTime>) -> Vec<Key> {
        let mut by_age = self.ended.iter().collect::<Vec<_>>();
        by_age.sort_by_key(|(_, remains)| std::cmp::Reverse(remains.ended_at));
        let mut bytes: u64 = 0;
        let mut surplus = Vec::new();
        for (position, (key, remains)) in by_age.into_iter().enumerate() {
            bytes = bytes.saturating_add(remains.bytes);
            let age = now.and_then(|now| now.duration_since(remains.ended_at).ok());
            let is_old = age.is_some_and(|age| age > self.retention.age);
            if is_old || position >= self.retention.attempts_max || bytes > self.retention.bytes_max
            {
                surplus.push(key.clone());
            }
        }
        surplus
    }

    fn remove(&self, key: &Key) -> io::Result<()> {
        for root in self.roots() {
            match fs::remove_dir_all(below(root, key)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) | Ok(()) => {}
            }
            // The directory stays while it holds other attempts.
            fs::remove_dir(root.join(&key.0)).unwrap_or_default();
        }
        Ok(())
    }

    fn roots(&self) -> [&Path; 2] {
        [&self.logs.shared.logs, &self.logs.shared.tasks]
    }
}

impl Remains {
    /// Adds a directory with everything in it. Unreadable entries do not count.
    pub(super) fn add(&mut self, dir: &Path) {
        let mut open = vec![dir.to_owned()];
        while let Some(path) = open.pop() {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            self.count(&metadata);
            if metadata.is_dir() {
                let names = names(&path).unwrap_or_default();
                open.extend(names.into_iter().map(|name| path.join(name)));
            }
        }
    }

    fn count(&mut self, metadata: &Metadata) {
        self.bytes = self.bytes.saturating_add(metadata.blocks().saturating_mul(BLOCK_BYTES));
        if let Ok(changed_at) = metadata.modified() {
            self.ended_at = self.ended_at.max(changed_at);
        }
    }
}

fn parsed<T: FromStr>(name: &OsStr) -> Option<T> {
    name.to_str()?.parse().ok()
}

fn below(root: &Path, (task, attempt): &Key) -> PathBuf {
    root.join(task).join(attempt)
}

fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        // A stray file, or gone in the meantime.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
