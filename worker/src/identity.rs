//! Who this worker is and whom it obeys, kept on disk: its cluster and the highest term it has seen.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cluster_state::{ClusterId, Incarnation, Term, WorkerId};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const FILE: &str = "identity";
const LOCK: &str = "lock";

/// The worker's identity, and the lock on its data directory.
#[derive(Debug)]
pub(crate) struct Identity {
    data_dir: PathBuf,
    current: Mutex<Record>,
    /// Held across a change, so that changes reach the disk in order.
    changing: tokio::sync::Mutex<()>,
    incarnation: Incarnation,
    _lock: Flock<File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refuses.
    #[error("cannot use data directory {}", path.display())]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
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
        /// Whose it is.
        theirs: WorkerId,
        /// Who wants to use it.
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
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Why a leader is not obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Disobedience {
    /// It leads another cluster.
    #[error("this worker belongs to cluster {ours}, not to {theirs}")]
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
    /// What cannot be remembered is not obeyed.
    #[error("the term could not be stored")]
    NotStored(#[source] IdentityError),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    format: u32,
    worker_id: WorkerId,
    /// As texts: JSON has no integers of 128 bits.
    cluster_id: Option<String>,
    incarnation: String,
    term: Term,
    masters: Vec<String>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
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
        let earlier = read(&data_dir.join(FILE))?;
        if let Some(earlier) = &earlier
            && earlier.worker_id != *worker_id
        {
            return Err(IdentityError::OtherWorker {
                path: data_dir.to_owned(),
                theirs: earlier.worker_id.clone(),
                ours: worker_id.clone(),
            });
        }
        let fresh = Record {
            format: FORMAT,
            worker_id: worker_id.clone(),
            cluster_id: None,
            incarnation: String::new(),
            term: Term(0),
            masters: Vec::new(),
        };
        let record = Record { incarnation: incarnation.to_string(), ..earlier.unwrap_or(fresh) };
        Ok(Self {
            data_dir: data_dir.to_owned(),
            current: Mutex::new(record),
            changing: tokio::sync::Mutex::new(()),
            incarnation,
            _lock: lock,
        })
    }

    /// Writes down the new incarnation. Until then the directory names the earlier one, so that
    /// its leftovers are found again if this start is cut short.
    pub(crate) fn begin_incarnation(&self) -> Result<(), IdentityError> {
        write(&self.data_dir, &self.current())
    }

    /// This process start.
    #[must_use]
    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The cluster, once a leader has been met.
    #[must_use]
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.current().cluster_id.and_then(|id| id.parse().ok())
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

    /// Whether to obey a leader. A first cluster and a higher term are on disk before this returns.
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

    fn judge(&self, theirs: ClusterId, term: Term) -> Result<Verdict, Disobedience> {
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
        let data_dir = self.data_dir.clone();
        let written = record.clone();
        tokio::task::spawn_blocking(move || write(&data_dir, &written)).await.map_err(
            |join| IdentityError::Io {
                path: self.data_dir.clone(),
                source: io::Error::other(join),
            },
        )??;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = record;
        Ok(())
    }

    fn current(&self) -> Record {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Known,
    News,
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

fn read(path: &Path) -> Result<Option<Record>, IdentityError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Io { path: path.to_owned(), source }),
    };
    let damaged = |source| IdentityError::Damaged { path: path.to_owned(), source };
    let format: Format = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format.format > FORMAT {
        return Err(IdentityError::NewerFormat { path: path.to_owned(), found: format.format });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Replaces the file in one step, and returns when the new one is sure to survive a power cut.
fn write(data_dir: &Path, record: &Record) -> Result<(), IdentityError> {
    let path = data_dir.join(FILE);
    let replace = || -> io::Result<()> {
        let new_path = data_dir.join("identity.new");
        let mut file = File::create(&new_path)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        fs::rename(&new_path, &path)?;
        File::open(data_dir)?.sync_all()
    };
    replace().map_err(|source| IdentityError::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(1);
    const OTHER: ClusterId = ClusterId(2);

    fn open(dir: &Path, worker: &str) -> Result<Identity, IdentityError> {
        let identity = Identity::open(dir, &worker.parse().unwrap(), Incarnation(5))?;
        identity.begin_incarnation()?;
        Ok(identity)
    }

    #[tokio::test]
    async fn the_first_cluster_and_the_highest_term_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let identity = open(dir.path(), "w1").unwrap();
        identity.admit(CLUSTER, Term(7)).await.unwrap();
        identity.remember_masters(vec!["m1:1".to_owned()]).await.unwrap();
        drop(identity);

        let identity = open(dir.path(), "w1").unwrap();

        assert_eq!(identity.cluster_id(), Some(CLUSTER));
        assert_eq!(identity.term_seen(), Term(7));
        assert_eq!(identity.masters(), ["m1:1"]);
        let refusal = identity.admit(CLUSTER, Term(6)).await.unwrap_err();
        assert!(matches!(refusal, Disobedience::OlderTerm { seen: Term(7), .. }), "{refusal}");
        identity.admit(CLUSTER, Term(7)).await.unwrap();
    }

    #[tokio::test]
    async fn another_cluster_is_not_obeyed_and_does_not_raise_the_term() {
        let dir = tempfile::tempdir().unwrap();
        let identity = open(dir.path(), "w1").unwrap();
        identity.admit(CLUSTER, Term(7)).await.unwrap();

        let refusal = identity.admit(OTHER, Term(9)).await.unwrap_err();

        assert!(matches!(refusal, Disobedience::OtherCluster { .. }), "{refusal}");
        assert_eq!(identity.term_seen(), Term(7));
    }

    #[test]
    fn a_directory_serves_one_process_and_one_worker() {
        let dir = tempfile::tempdir().unwrap();
        let identity = open(dir.path(), "w1").unwrap();
        assert!(matches!(open(dir.path(), "w1"), Err(IdentityError::InUse(_))));
        drop(identity);

        let error = open(dir.path(), "w2").unwrap_err();
        assert!(error.to_string().contains("belongs to worker w1, not to w2"), "{error}");
        assert!(open(dir.path(), "w1").is_ok());
    }

    #[test]
    fn files_of_a_newer_version_and_damaged_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), r#"{"format": 2, "news": true}"#).unwrap();
        assert!(matches!(open(dir.path(), "w1"), Err(IdentityError::NewerFormat { found: 2, .. })));

        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(matches!(open(dir.path(), "w1"), Err(IdentityError::Damaged { .. })));
    }
}
