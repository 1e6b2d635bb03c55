//! Sends snapshots: asks the receiver what it holds already, and streams the rest.

use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use proto::v1::snapshot_message::Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::identity::PeerIdentity;
use super::plausibility;
use super::wire::{self, WireError};
use crate::error::StorageError;
use crate::log_node::NodeId;
use crate::snapshot::{Chunk, ChunkReader, InvalidManifest, SnapshotData};
use crate::types::Vote;

/// Number of chunks read ahead of the network: each is up to a mebibyte.
const CHUNKS_AHEAD: usize = 4;

/// Reason that a snapshot was not sent. Sending again resumes at the break.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It cannot be read.
    #[error("cannot read the snapshot")]
    Storage(#[from] StorageError),
    /// It cannot be described.
    #[error("cannot describe the snapshot")]
    Manifest(#[from] InvalidManifest),
    /// The receiver is gone or refuses.
    #[error("the receiver did not take the snapshot")]
    Receiver(#[from] Box<Status>),
    /// The receiver's answer is malformed.
    #[error("the receiver's answer is malformed")]
    Answer(#[from] WireError),
}

impl SendError {
    /// Returns true if the receiver cannot be reached, so that it cannot have an opinion.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Receiver(status) if super::answers::is_unreachable(status))
    }

    /// Returns true if the receiver cannot use this snapshot, now and most likely in a moment.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Receiver(status) => status.code() == Code::FailedPrecondition,
            Self::Storage(_) | Self::Manifest(_) => true,
            Self::Answer(_) => false,
        }
    }
}

/// Sends a snapshot and returns the receiver's vote when it is installed there. Signals when the
/// receiver has said how much of it is there.
pub(crate) async fn send(
    mut client: RaftServiceClient<Channel>,
    identity: &PeerIdentity,
    to: NodeId,
    (vote, data): (&Vote, &SnapshotData),
    on_answered: impl FnOnce(),
) -> Result<Vote, SendError> {
    let manifest = bytes::Bytes::from(data.manifest().await?.encode()?);
    let ballot = Some(wire::vote_out(vote));
    let question = v1::ResumeSnapshotRequest { manifest: manifest.clone(), vote: ballot };
    let held = client.resume_snapshot(identity.sign(question, to)).await.map_err(Box::new)?;
    on_answered();
    let chunks = data.chunks(&held.into_inner().offsets).await?;

    let (messages, outgoing) = mpsc::channel(CHUNKS_AHEAD);
    let header = v1::SnapshotHeader { vote: Some(wire::vote_out(vote)), manifest };
    let reading = read_into(header, chunks, messages);
    let sending = client.install_snapshot(identity.sign(ReceiverStream::new(outgoing), to));
    let (read, sent) = tokio::join!(reading, sending);
    read?;
    let answer = sent.map_err(Box::new)?.into_inner();
    let answered = wire::vote_in(answer.vote)?;
    plausibility::check_term(answered.leader_id.term, vote.leader_id.term)
        .map_err(WireError::from)?;
    Ok(answered)
}

/// Feeds the stream until everything is read, or until the receiver has ended it: its answer says
/// why.
async fn read_into(
    header: v1::SnapshotHeader,
    mut chunks: ChunkReader,
    messages: mpsc::Sender<v1::SnapshotMessage>,
) -> Result<(), StorageError> {
    let mut part = Part::Header(header);
    loop {
        if messages.send(v1::SnapshotMessage { part: Some(part) }).await.is_err() {
            return Ok(());
        }
        let Some(Chunk { file, offset, crc32, bytes }) = chunks.next().await? else {
            return Ok(());
        };
        part = Part::Chunk(v1::SnapshotChunk { file, offset, crc32, data: bytes });
    }
}
