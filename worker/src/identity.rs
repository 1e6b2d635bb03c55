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
    /// Another process uses it.
    #[error("data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It belongs to another worker.
    #[error(
        "data directory {} belongs to worker {theirs}, not to {ours}: use another directory, or remove it if {theirs} is gone for good",
        path.display()
    )]
    OtherWorker {
        path: PathBuf,
        /// Owner of the data directory.
        theirs: WorkerId,
        /// Worker that wants to use it.
        ours: WorkerId,
    },
    /// A newer version wrote it.
    #[error("{} has format {found}, but this version knows only up to {FORMAT}", path.display())]
    NewerFormat {
        path: PathBuf,
        /// Format of the file.
        found: u32,
    },
    /// The file is not in the format of this program.
    #[error(
        "{} is damaged: move it away and start again; the worker then joins as if it were new, and \
         results and output that are still here are put aside",
        .0.display()
    )]
    Damaged(PathBuf),
}

/// Reason to refuse a leader.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaderRefusal {
    /// It leads another cluster.
    #[error(
        "this worker belongs to cluster {ours}, not to {theirs}: to have it change, stop it and \
         remove the file identity from its data directory"
    )]
    OtherCluster {
        /// Cluster of the worker.
        ours: ClusterId,
        /// Cluster of the caller.
        theirs: ClusterId,
    },
    /// The worker has heard of a newer leader.
    #[error("term {theirs} is over: this worker has seen term {seen}")]
    OlderTerm {
        /// Term of the caller.
        theirs: Term,
        /// Highest term seen.
        seen: Term,
    },
    /// Only the caller claims to lead: it is obeyed once a master that this worker calls says the
    /// same.
    #[error("no master has confirmed in time that {cluster} is led in term {term}")]
    Unconfirmed {
        /// Cluster of the caller.
        cluster: ClusterId,
        /// Term of the caller.
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

    /// Stores the new incarnation. Until then the directory names the earlier one, so that its
    /// leftovers are found again if this start is interrupted.
    pub(crate) fn begin_incarnation(&self) -> Result<(), IdentityError> {
        write(&self.slots, &self.current())
    }

    /// Writes the record once more. If that fails, the next term could not be stored, and the
    /// leader should not be asked.
    pub(crate) async fn ensure_storable(&self) -> Result<(), IdentityError> {
        let _changing = self.changing.lock().await;
        self.store(self.current(), None).await
    }

    /// Returns the incarnation of this process start.
    #[must_use]
    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Returns the id of the data directory, which distinguishes this worker from another one of
    /// the same name.
    #[must_use]
    pub(crate) const fn data(&self) -> DataId {
        self.data
    }

    /// Returns the number of this start in the data directory.
    #[must_use]
    pub(crate) const fn start(&self) -> StartNumber {
        self.start
    }

    /// Returns the cluster, once a leader has been met.
    #[must_use]
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.current().cluster()
    }

    /// Returns the highest term seen.
    #[must_use]
    pub(crate) fn term_seen(&self) -> Term {
        self.current().term
    }

    /// Returns the masters that a leader last named.
    #[must_use]
    pub(crate) fn masters(&self) -> Vec<String> {
        self.current().masters
    }

    /// Decides about a leader that was named by a master which this worker had called. A first
    /// cluster and a higher term are on disk before this returns.
    pub(crate) async fn admit(&self, cluster: ClusterId, term: Term) -> Result<(), LeaderRefusal> {
        if self.judge(cluster, term)? == Verdict::Known {
            return Ok(());
        }
        self.change(|record| {
            record.cluster_id.get_or_insert_with(|| cluster.to_string());
            record.term = record.term.max(term);
        })
        .await
        .map_err(LeaderRefusal::NotStored)?;
        // Another call may have brought another cluster or a higher term in the meantime.
        self.judge(cluster, term).map(drop)
    }

    /// Stores the addresses of the masters for the next start.
    pub(crate) async fn remember_masters(&self, masters: Vec<String>) -> Result<(), IdentityError> {
        if masters.is_empty() || self.masters() == masters {
            return Ok(());
        }
        self.change(|record| record.masters = masters).await
    }

    /// Judges a leader. Anybody can claim to lead, so a claim alone changes nothing.
    pub(crate) fn judge(&self, theirs: ClusterId, term: Term) -> Result<Verdict, LeaderRefusal> {
        let (ours, seen) = (self.cluster_id(), self.term_seen());
        match ours {
            Some(ours) if ours != theirs => Err(LeaderRefusal::OtherCluster { ours, theirs }),
            _ if term < seen => Err(LeaderRefusal::OlderTerm { theirs: term, seen }),
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

/// Novelty of a leader's cluster and term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Cluster and term are those of this worker.
    Known,
    /// The cluster is its first one, or the term is higher.
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
