//! Stores the worker's identity on disk: its name, its cluster, and the highest term it has seen.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_state::{ClusterId, DataId, Incarnation, StartNumber, Term, WorkerId};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;

mod belongings;
mod doubts;
pub(crate) mod slots;

use doubts::Doubts;
use slots::{FORMAT, Record, Slots};

const FILE: &str = "identity";
const LOCK: &str = "lock";

/// The worker's identity, and the lock on its data directory.
#[derive(Debug)]
pub(crate) struct Identity {
    data_dir: PathBuf,
    current: Mutex<Record>,
    slots: Arc<Mutex<Slots>>,
    /// Held across a change, so that changes reach the disk in order.
    changing: tokio::sync::Mutex<()>,
    doubts: Doubts,
    incarnation: Incarnation,
    data: DataId,
    start: StartNumber,
    _lock: Flock<File>,
}

/// Reason that a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refuses.
    #[error("cannot use data directory {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Another process works with it.
    #[error("data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It belongs to another worker.
    #[error(
        "data directory {} belongs to worker {theirs}, not to {ours}: use another directory, or remove it if {theirs} is gone for good",
        path.display()
    )]
    OtherWorker {
        /// The directory.
        path: PathBuf,
        /// Owner of the data directory.
        theirs: WorkerId,
        /// Worker that wants to use it.
        ours: WorkerId,
    },
    /// A newer version wrote it.
    #[error("{} has format {found}, but this version knows only up to {FORMAT}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is not what this program writes.
    #[error(
        "{} is damaged: move it away and start again; the worker then joins as if it were new, and \
         results and output that are still here are put aside",
        .0.display()
    )]
    Damaged(PathBuf),
}

/// Reason to refuse a leader.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Disobedience {
    /// It leads another cluster.
    #[error(
        "this worker belongs to cluster {ours}, not to {theirs}: to have it change, stop it and \
         remove the file identity from its data directory"
    )]
    OtherCluster {
        /// The worker's cluster.
        ours: ClusterId,
        /// The caller's.
        theirs: ClusterId,
    },
    /// A newer leader has been heard of.
    #[error("term {theirs} is over: this worker has seen term {seen}")]
    OlderTerm {
        /// The caller's term.
        theirs: Term,
        /// The highest seen.
        seen: Term,
    },
    /// Only the caller says so: it is obeyed when a master that this worker calls says the same.
    #[error("no master has confirmed in time that {cluster} is led in term {term}")]
    Unconfirmed {
        /// The caller's cluster.
        cluster: ClusterId,
        /// The caller's term.
        term: Term,
    },
    /// The term cannot be stored, so the leader is refused.
    #[error("the term could not be stored")]
    NotStored(#[source] IdentityError),
}

impl Identity {
    /// Locks the directory and begins a new incarnation in it.
    pub(crate) fn open(
        data_dir: &Path,
        worker_id: &WorkerId,
        incarnation: Incarnation,
    ) -> Result<Self, IdentityError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| IdentityError::Io { path, source }
        };
        fs::create_dir_all(data_dir).map_err(at(data_dir))?;
        let lock = lock(&data_dir.join(LOCK))?;
        let (slots, earlier) = Slots::open(&data_dir.join(FILE))?;
        if let Some(earlier) = &earlier
            && earlier.worker_id != *worker_id
        {
            return Err(IdentityError::OtherWorker {
                path: data_dir.to_owned(),
                theirs: earlier.worker_id.clone(),
                ours: worker_id.clone(),
            });
        }
        let earlier = earlier.unwrap_or_else(|| Record::of(worker_id.clone()));
        let data = earlier.data_id.parse();
        let data = data.unwrap_or_else(|_| DataId(uuid::Uuid::new_v4().as_u128()));
        let start = earlier.starts.next();
        let record = Record {
            incarnation: incarnation.to_string(),
            data_id: data.to_string(),
            starts: start,
            ..earlier
        };
        belongings::claim(data_dir, record.cluster()).map_err(at(data_dir))?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            current: Mutex::new(record),
            slots: Arc::new(Mutex::new(slots)),
            changing: tokio::sync::Mutex::new(()),
            doubts: Doubts::default(),
            incarnation,
            data,
            start,
            _lock: lock,
        })
    }

    /// Writes down the new incarnation. Until then the directory names the earlier one, so that
    /// its leftovers are found again if this start is cut short.
    pub(crate) fn begin_incarnation(&self) -> Result<(), IdentityError> {
        write(&self.slots, &self.current())
    }

    /// Writes the record once more. Where that fails, what a leader says next could not be
    /// remembered, and it had better not be asked.
    pub(crate) async fn ensure_storable(&self) -> Result<(), IdentityError> {
        let _changing = self.changing.lock().await;
        self.store(self.current(), None).await
    }

    /// This process start.
    #[must_use]
    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The data directory's own name, which tells this worker from another of its name.
    #[must_use]
    pub(crate) const fn data(&self) -> DataId {
        self.data
    }

    /// The number of this start in the data directory.
    #[must_use]
    pub(crate) const fn start(&self) -> StartNumber {
        self.start
    }

    /// The cluster, once a leader has been met.
    #[must_use]
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.current().cluster()
    }

    /// The highest term seen.
    #[must_use]
    pub(crate) fn term_seen(&self) -> Term {
        self.current().term
    }

    /// The masters that a leader last named.
    #[must_use]
    pub(crate) fn masters(&self) -> Vec<String> {
        self.current().masters
    }

    /// Decides about a leader that a master has named which this worker had called. A first cluster
    /// and a higher term are on disk before this returns.
    pub(crate) async fn admit(&self, cluster: ClusterId, term: Term) -> Result<(), Disobedience> {
        if self.judge(cluster, term)? == Verdict::Known {
            return Ok(());
        }
        self.change(|record| {
            record.cluster_id.get_or_insert_with(|| cluster.to_string());
            record.term = record.term.max(term);
        })
        .await
        .map_err(Disobedience::NotStored)?;
        // Another call may have brought another cluster or a higher term meanwhile.
        self.judge(cluster, term).map(drop)
    }

    /// Remembers where the masters are, for the next start.
    pub(crate) async fn remember_masters(&self, masters: Vec<String>) -> Result<(), IdentityError> {
        if masters.is_empty() || self.masters() == masters {
            return Ok(());
        }
        self.change(|record| record.masters = masters).await
    }

    /// Judges a leader. Anybody can claim to be one, so that a claim alone changes nothing.
    pub(crate) fn judge(&self, theirs: ClusterId, term: Term) -> Result<Verdict, Disobedience> {
        let (ours, seen) = (self.cluster_id(), self.term_seen());
        match ours {
            Some(ours) if ours != theirs => Err(Disobedience::OtherCluster { ours, theirs }),
            _ if term < seen => Err(Disobedience::OlderTerm { theirs: term, seen }),
            Some(_) if term == seen => Ok(Verdict::Known),
            _ => Ok(Verdict::News),
        }
    }

    async fn change(&self, edit: impl FnOnce(&mut Record)) -> Result<(), IdentityError> {
        let _changing = self.changing.lock().await;
        let mut record = self.current();
        edit(&mut record);
        if record == self.current() {
            return Ok(());
        }
        let first_cluster = match self.cluster_id() {
            None => record.cluster(),
            Some(_) => None,
        };
        self.store(record.clone(), first_cluster).await?;
        *self.current.lock() = record;
        self.doubts.on_news();
        Ok(())
    }

    async fn store(
        &self,
        record: Record,
        first_cluster: Option<ClusterId>,
    ) -> Result<(), IdentityError> {
        let (slots, data_dir) = (Arc::clone(&self.slots), self.data_dir.clone());
        let at = |source| IdentityError::Io { path: self.data_dir.clone(), source };
        let storing = tokio::task::spawn_blocking(move || {
            if let Some(cluster) = first_cluster {
                belongings::claim(&data_dir, Some(cluster))
                    .map_err(|source| IdentityError::Io { path: data_dir, source })?;
            }
            write(&slots, &record)
        });
        storing.await.map_err(|join| at(io::Error::other(join)))?
    }

    fn current(&self) -> Record {
        self.current.lock().clone()
    }
}

/// The news that a leader's cluster and term are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are those of this worker.
    Known,
    /// They are its first ones, or the term is higher.
    News,
}

fn write(slots: &Mutex<Slots>, record: &Record) -> Result<(), IdentityError> {
    slots.lock().write(record)
}

fn lock(path: &Path) -> Result<Flock<File>, IdentityError> {
    let at = |source| IdentityError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(at)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno == Errno::EWOULDBLOCK {
            IdentityError::InUse(path.parent().unwrap_or(path).to_owned())
        } else {
            at(errno.into())
        }
    })
}

#[cfg(test)]
mod tests;
