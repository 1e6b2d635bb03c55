//! `master restore`: writes a data directory from a backup, before any master runs there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use cluster_state::MasterId;
use credentials::CredentialsError;
use daemon::config::Value;
use daemon::progress::Progress;
use proto::backup::{BackupError, ReadError};
use raft_store::{Restoration, RestoreError, RestoreReport, StillAlive, present_at};
use serde::Serialize;

use crate::dialing::TlsFlags;

/// Order to restore a backup.
#[derive(Debug, Args)]
pub struct RestoreOrder {
    /// File to read; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Data directory of this master; empty, or not there yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// This master's number within the cluster
    #[arg(long, value_name = "ID", value_parser = number)]
    node_id: MasterId,
    /// Name of the cluster
    #[arg(long, value_name = "NAME")]
    cluster_name: String,
    /// The first members, the same on each
    #[arg(long, value_name = "ID=HOST:PORT,…", value_parser = members)]
    initial_cluster: Members,
    /// Number of the generation that begins; greater than that of any cluster that was restored from
    /// this backup before [default: the one after that of the backup]
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u32>,
    /// Restore although masters of another generation answer at the addresses of the list, and end them
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    tls: TlsFlags,
    /// Say what was restored as JSON
    #[arg(long)]
    json: bool,
}

/// First members by their numbers.
#[derive(Debug, Clone)]
struct Members(BTreeMap<MasterId, String>);

/// Returns the command for the help and the parser.
pub(crate) fn command() -> Command {
    RestoreOrder::augment_args(Command::new("restore")).about(
        "Writes a data directory from a backup; run it once for each first member, with the same \
         backup, name and list",
    )
}

fn number(text: &str) -> Result<MasterId, String> {
    MasterId::parse(text)
}

fn members(text: &str) -> Result<Members, String> {
    let members = BTreeMap::<MasterId, String>::parse(text)?;
    for address in members.values() {
        proto::channel::check_address(address).map_err(|error| error.to_string())?;
    }
    Ok(Members(members))
}

/// Reason that nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreFailure {
    /// The file cannot be opened.
    #[error("cannot read {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// It cannot be restored.
    #[error(transparent)]
    Restore(RestoreError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CredentialsError),
    /// Masters of the cluster still run.
    #[error("nothing was restored: {0}; stop them, or give --force")]
    Alive(StillAlive),
    /// Nobody can be told.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

impl From<RestoreError> for RestoreFailure {
    fn from(error: RestoreError) -> Self {
        if let RestoreError::Alive(alive) = error {
            Self::Alive(alive)
        } else {
            Self::Restore(error)
        }
    }
}

impl RestoreFailure {
    /// Returns the exit code: 1 error, 2 the certificates cannot be used, 4 the directory is in use or the cluster is alive, 9 the backup is damaged.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Restore(RestoreError::InUse(_)) | Self::Alive(_) => 4,
            Self::Restore(RestoreError::Backup(ReadError::Backup(
                BackupError::Cut { .. }
                | BackupError::Damaged { .. }
                | BackupError::Trailing { .. },
            ))) => 9,
            Self::Certificates(_) => 2,
            Self::Open { .. } | Self::Restore(_) | Self::Output(_) => 1,
        }
    }
}

/// A restoration, as it is told.
#[derive(Debug, Serialize)]
struct Told {
    cluster_id: String,
    /// Number of the generation that begins.
    generation: u32,
    /// Number that tells it apart from others that continue the same one.
    generation_id: String,
    master: u64,
    data_dir: String,
    /// Last entry that the backup covers.
    index: Option<u64>,
    taken_at: String,
}

/// Restores the backup and says what was restored.
///
/// # Errors
///
/// If nothing was restored, or nobody can be told.
pub(crate) fn run(order: &RestoreOrder) -> Result<(), RestoreFailure> {
    let members = &order.initial_cluster.0;
    let present = match order.force {
        true => Vec::new(),
        false => present_at(&order.cluster_name, members, &order.tls.dialer()?)?,
    };
    let restoration = Restoration {
        data_dir: order.data_dir.clone(),
        name: order.node_id,
        cluster_name: order.cluster_name.clone(),
        members: members.clone(),
        generation: order.generation,
        present,
    };
    let source: Box<dyn Read> = if order.file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let unreadable = |source| RestoreFailure::Open { path: order.file.clone(), source };
        Box::new(File::open(&order.file).map_err(unreadable)?)
    };
    let mut progress = Progress::new("restored");
    let report = restoration.run(source, |bytes, of| progress.show(bytes, of))?;
    progress.clear();
    Ok(tell(order, &report)?)
}

fn tell(order: &RestoreOrder, report: &RestoreReport) -> io::Result<()> {
    let told = Told {
        cluster_id: report.cluster.to_string(),
        generation: report.generation.number,
        generation_id: format!("{:016x}", report.generation.id),
        master: order.node_id.0,
        data_dir: order.data_dir.display().to_string(),
        index: report.summary.index,
        taken_at: report.summary.taken_at.clone(),
    };
    let text = if order.json {
        serde_json::to_string_pretty(&told)?
    } else {
        let Told { cluster_id, generation, generation_id, master, data_dir, taken_at, .. } = &told;
        format!(
            "restored the backup of {taken_at} into {data_dir}: master {master} of cluster \
             {cluster_id}, generation {generation} ({generation_id})"
        )
    };
    writeln!(io::stdout(), "{text}")
}
