//! Owner, layout and lock of a data directory.
//!
//! ```text
//! DIR/format   version of the layout
//! DIR/LOCK     held by the process that uses the directory
//! DIR/guard    see [`crate::guard`]; its presence ends the making of a new directory
//! DIR/restoring  there while the directory is being written from a backup or from another directory:
//!                see [`crate::restore`]
//! DIR/copy/    what a recovery continues, until it has ended: see [`crate::recovery`]
//! DIR/cluster  configured name of the cluster, for people
//! DIR/seen     how far other logs were seen to go: see [`crate::seen`]
//! DIR/reserve  room on the disk: see [`crate::disk_space`]
//! DIR/log/     RocksDB: Raft log, vote, identity
//! DIR/state/   RocksDB and its snapshots: see [`crate::state_machine`]
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_state::{ClusterId, Level, MasterId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, Versioned};
use crate::error::OpenError;
use crate::files;
use crate::log_node::NodeId;

/// Layout that this program writes, and the newest that it knows.
const LAYOUT_FORMAT: u32 = 1;

/// Content of the format file before the number.
const FORMAT_PREFIX: &str = "raft-store format ";

/// Identity of a log and its owner. None of it changes once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The log itself, as Raft knows it.
    pub node: NodeId,
    /// Name of the master that has it.
    pub name: MasterId,
    /// Cluster; unknown until the node learns it from the log or by joining.
    pub cluster: Option<ClusterId>,
}

impl Identity {
    /// Draws the identity of the log in a new data directory.
    #[must_use]
    pub fn draw(owner: Owner) -> Self {
        Self { node: NodeId::draw(), name: owner.name, cluster: owner.cluster }
    }

    /// Returns the level of its encoding: the first one's for a log that has its master's number, so
    /// that release 0.2.0, which made it, still reads it.
    pub(crate) const fn level(&self) -> Level {
        if self.node.0 == self.name.0 { Level::FIRST } else { Self::LEVEL }
    }

    /// Returns the master that has the log.
    pub(crate) const fn owner(&self) -> Owner {
        Owner { name: self.name, cluster: self.cluster }
    }
}

impl Versioned for Identity {
    const TYPE: u8 = 9;
    const LEVEL: Level = Level(2);

    fn read_earlier(_: Level, body: &[u8]) -> Result<Self, CodecError> {
        Ok(postcard::from_bytes::<IdentityAtFirst>(body)?.into())
    }

    fn write_earlier(&self, _: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push(Level::FIRST.0);
        codec::write_body(&IdentityAtFirst::from(*self), out)
    }
}

/// [`Identity`] as level 1 has it: the log has the number of its master.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct IdentityAtFirst {
    node: MasterId,
    cluster: Option<ClusterId>,
}

impl From<IdentityAtFirst> for Identity {
    fn from(IdentityAtFirst { node, cluster }: IdentityAtFirst) -> Self {
        Self { node: NodeId(node.0), name: node, cluster }
    }
}

impl From<Identity> for IdentityAtFirst {
    fn from(Identity { name, cluster, .. }: Identity) -> Self {
        Self { node: name, cluster }
    }
}

/// Master that opens a data directory, and its cluster, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Configured name of the master.
    pub name: MasterId,
    pub cluster: Option<ClusterId>,
}

impl Owner {
    /// Refuses the data of another master or another cluster.
    pub(crate) fn check(&self, found: Self) -> Result<(), OpenError> {
        if found.name != self.name {
            return Err(OpenError::WrongMaster { found: found.name, expected: self.name });
        }
        match (found.cluster, self.cluster) {
            (Some(found), Some(expected)) if found != expected => {
                Err(OpenError::WrongCluster { found, expected })
            }
            _ => Ok(()),
        }
    }
}

/// The present identity, shared by everybody who checks against it. Only the log's flusher sets it,
/// once it is durable.
#[derive(Debug, Clone)]
pub(crate) struct KnownIdentity(Arc<Mutex<Identity>>);

impl KnownIdentity {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(Arc::new(Mutex::new(identity)))
    }

    pub(crate) fn get(&self) -> Identity {
        *self.0.lock()
    }

    pub(crate) fn set(&self, identity: Identity) {
        *self.0.lock() = identity;
    }
}

/// Paths in a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// Condition of a data directory before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is empty, or its creation was interrupted: nothing was acknowledged from it.
    Fresh,
    /// It has been in use.
    InUse,
}

impl Layout {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn guard(&self) -> PathBuf {
        self.root.join("guard")
    }

    /// Returns the path of the reserve, see [`crate::disk_space`].
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Returns the path of the memory of other logs, see [`crate::seen`].
    pub(crate) fn seen(&self) -> PathBuf {
        self.root.join("seen")
    }

    /// Returns the directory in which a copy of the log is tried.
    pub(crate) fn probe(&self) -> PathBuf {
        self.root.join("log-probe")
    }

    /// Returns the directory into which a recovery copies the one that it continues.
    pub(crate) fn copy(&self) -> PathBuf {
        self.root.join("copy")
    }

    fn cluster_file(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// Returns the configured name of the cluster; none in a directory of release 0.2.0.
    pub(crate) fn cluster_name(&self) -> Result<Option<String>, OpenError> {
        let path = self.cluster_file();
        let bytes = files::read_if_present(&path).map_err(OpenError::io(&path))?;
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
        Ok(text.filter(|name| !name.is_empty()))
    }

    /// Notes the configured name of the cluster, which a master does not need, but people do.
    pub(crate) fn note_cluster_name(&self, name: &str) -> Result<(), OpenError> {
        if name.is_empty() || self.cluster_name()?.as_deref() == Some(name) {
            return Ok(());
        }
        let path = self.cluster_file();
        files::write_atomically(&path, format!("{name}\n").as_bytes()).map_err(OpenError::io(path))
    }

    /// Returns the path of the file that says that a restoration has begun and not ended.
    fn restoring(&self) -> PathBuf {
        self.root.join("restoring")
    }

    /// Begins to write the directory as a whole: until the end of that no master starts here.
    pub(crate) fn begin_restoration(&self) -> Result<(), OpenError> {
        self.begin()?;
        files::write_atomically(&self.restoring(), b"").map_err(OpenError::io(self.restoring()))
    }

    /// Ends the restoration.
    pub(crate) fn end_restoration(&self) -> Result<(), OpenError> {
        let end = || {
            fs::remove_file(self.restoring())?;
            files::sync_dir(&self.root)
        };
        end().map_err(OpenError::io(self.restoring()))
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    fn format_file(&self) -> PathBuf {
        self.root.join("format")
    }

    /// Inspects the directory, and changes nothing.
    pub(crate) fn inspect(&self) -> Result<Condition, OpenError> {
        match fs::metadata(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Condition::Fresh),
            Err(error) => return Err(OpenError::io(&self.root)(error)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(OpenError::NotADirectory(self.root.clone()));
            }
            Ok(_) => {}
        }
        let format = files::read_if_present(&self.format_file())
            .map_err(OpenError::io(self.format_file()))?;
        let Some(format) = format else { return self.inspect_without_format() };
        self.check_format(&format)?;

        let has = |path: PathBuf| path.try_exists().map_err(OpenError::io(path));
        if has(self.restoring())? {
            return Err(OpenError::HalfRestored(self.root.clone()));
        }
        match (has(self.guard())?, has(self.log())?) {
            (true, true) => Ok(Condition::InUse),
            (true, false) => Err(OpenError::Missing { missing: self.log() }),
            // The guard is written last when a directory is created: without it and without a state
            // nothing was acknowledged from here.
            (false, _) if !has(self.state())? => Ok(Condition::Fresh),
            (false, _) => Err(OpenError::Missing { missing: self.guard() }),
        }
    }

    fn inspect_without_format(&self) -> Result<Condition, OpenError> {
        let names = fs::read_dir(&self.root)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(OpenError::io(&self.root));
        let names: Vec<OsString> = names?;
        if names.iter().any(|name| name == "guard" || name == "log" || name == "state") {
            return Err(OpenError::Missing { missing: self.format_file() });
        }
        for name in names {
            let is_ours = name == "LOCK" || name == "format.new";
            // Created by mkfs in the root of a volume.
            if !is_ours && name != "lost+found" {
                return Err(OpenError::Foreign(self.root.clone()));
            }
        }
        Ok(Condition::Fresh)
    }

    fn check_format(&self, bytes: &[u8]) -> Result<(), OpenError> {
        let number = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim_end().strip_prefix(FORMAT_PREFIX)?.parse::<u32>().ok());
        let found = number.ok_or_else(|| OpenError::FormatUnreadable(self.format_file()))?;
        if found > LAYOUT_FORMAT {
            let path = self.root.clone();
            return Err(OpenError::NewerFormat { path, found, known: LAYOUT_FORMAT });
        }
        Ok(())
    }

    /// Begins the creation of a new directory. The remains of an earlier try are removed.
    pub(crate) fn begin(&self) -> Result<(), OpenError> {
        let format = format!("{FORMAT_PREFIX}{LAYOUT_FORMAT}\n");
        files::write_atomically(&self.format_file(), format.as_bytes())
            .map_err(OpenError::io(self.format_file()))?;
        files::remove_dir(&self.log()).map_err(OpenError::io(self.log()))
    }

    /// Creates the directory if necessary and locks it for this process.
    pub(crate) fn lock(&self) -> Result<DirectoryLock, OpenError> {
        let make = || {
            fs::create_dir_all(&self.root)?;
            self.root.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), files::sync_dir)
        };
        if !self.root.is_dir() {
            make().map_err(OpenError::io(&self.root))?;
        }
        DirectoryLock::take(&self.lock_file(), &self.root)
    }

    /// Keeps a master from starting here without changing anything; none where no master ever ran.
    pub(crate) fn lock_for_reading(&self) -> Result<Option<DirectoryLock>, OpenError> {
        let path = self.lock_file();
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io(path)(error)),
            Ok(file) => {
                let locked = file.try_lock_shared();
                DirectoryLock::of(file, locked, &path, &self.root).map(Some)
            }
        }
    }
}

/// Keeps other processes out of the directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    fn take(path: &Path, root: &Path) -> Result<Self, OpenError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(OpenError::io(path))?;
        let locked = file.try_lock();
        Self::of(file, locked, path, root)
    }

    fn of(
        file: File,
        locked: Result<(), TryLockError>,
        path: &Path,
        root: &Path,
    ) -> Result<Self, OpenError> {
        match locked {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => Err(OpenError::io(path)(error)),
        }
    }
}
