//! Backups: a checkpoint of the state as a stream of bytes that describes and checks itself.

mod census;

use std::io;

use bytes::Bytes;
use cluster_state::Timestamp;
use proto::backup::{BackupMember, Encoder, FilePart, Summary};
use proto::convert::rfc3339;

use self::census::Census;
use crate::calls::Call;
use crate::error::StorageError;
use crate::log_node::{MasterNode, NodeId};
use crate::node::Node;
use crate::reads::ReadError;
use crate::snapshot::{ChunkReader, Manifest, SnapshotData};

/// Reason that there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    /// Nobody knows what has been acknowledged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint cannot be taken.
    #[error("cannot take a checkpoint of the state")]
    Storage(#[from] StorageError),
}

/// A backup that is being sent. Its checkpoint is removed with it.
#[derive(Debug)]
pub struct Backup {
    data: SnapshotData,
    origin: Origin,
    encoder: Encoder,
    progress: Progress,
}

/// Facts that the checkpoint does not know of itself.
#[derive(Debug)]
struct Origin {
    cluster_name: String,
    master: u64,
    taken_at: Timestamp,
}

#[derive(Debug)]
enum Progress {
    Begin,
    Files(ChunkReader),
    Over,
}

impl Node {
    /// Takes a checkpoint that holds everything that was acknowledged before the call, anywhere in
    /// the cluster.
    ///
    /// # Errors
    ///
    /// As [`BackupFailure`] says. Nothing is left of it then.
    pub async fn take_backup(&self) -> Result<Backup, BackupFailure> {
        self.linearize().await?;
        let data = self.reader().checkpoint().await?;
        let origin = Origin {
            cluster_name: self.cluster_name().to_owned(),
            master: self.id().0,
            taken_at: self.clock().wall(),
        };
        Ok(Backup { data, origin, encoder: Encoder::default(), progress: Progress::Begin })
    }
}

impl Backup {
    /// Returns the bytes that follow; none behind the end.
    ///
    /// # Errors
    ///
    /// If the checkpoint cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let chunks = match &mut self.progress {
            Progress::Begin => return self.begin().await.map(Some),
            Progress::Files(chunks) => chunks,
            Progress::Over => return Ok(None),
        };
        let Some(chunk) = chunks.next().await? else {
            self.progress = Progress::Over;
            return Ok(Some(std::mem::take(&mut self.encoder).end()));
        };
        let part = FilePart { file: chunk.file, offset: chunk.offset, bytes: chunk.bytes };
        Ok(Some(self.encoder.part(&part)))
    }

    /// Reads every record and every file once before the first byte is sent: a backup that cannot
    /// be read does not begin.
    async fn begin(&mut self) -> Result<Bytes, StorageError> {
        let path = self.data.path().to_owned();
        let count = move || Census::of(&path);
        let calls = self.data.calls().clone();
        let counted = calls.run_blocking(Call::SnapshotRead, count);
        let (census, manifest) = tokio::try_join!(counted, self.data.manifest())?;

        let summary = self.origin.summary(&census, &manifest);
        let encoded = manifest.encode().map_err(io::Error::other)?;
        let begin = self.encoder.begin(&summary, &encoded).map_err(io::Error::other)?;
        self.progress = Progress::Files(self.data.chunks(&[]).await?);
        Ok(begin)
    }
}

impl Origin {
    fn summary(&self, census: &Census, manifest: &Manifest) -> Summary {
        let Census { meta, tasks, finished, workers, tokens, keys } = census;
        let last = manifest.meta.last_log_id;
        Summary {
            cluster_name: self.cluster_name.clone(),
            cluster_id: manifest.cluster.map(|cluster| cluster.to_string()),
            generation: meta.generation.number,
            generation_id: format!("{:016x}", meta.generation.id),
            level: meta.level.0,
            index: last.map(|last| last.index),
            term: last.map(|last| last.leader_id.term),
            log_time: rfc3339(meta.now),
            taken_at: rfc3339(self.taken_at),
            master: self.master,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            members: members(manifest),
            tasks: tasks.iter().map(|(state, count)| (state.to_string(), *count)).collect(),
            finished_tasks: *finished,
            workers: *workers,
            tokens: *tokens,
            idempotency_keys: *keys,
            data_bytes: manifest.files.iter().map(|file| file.len).sum(),
        }
    }
}

fn members(manifest: &Manifest) -> Vec<BackupMember> {
    let membership = &manifest.meta.last_membership;
    let voters = membership.voter_ids().collect::<Vec<_>>();
    let member = |(id, node): (&NodeId, &MasterNode)| BackupMember {
        id: node.name_or(*id).0,
        address: node.addr.clone(),
        voter: voters.contains(id),
    };
    membership.nodes().map(member).collect()
}
