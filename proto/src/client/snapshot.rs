//! Receives a backup from one master.

use bytes::Bytes;
use tonic::Streaming;

use super::{Client, ClientError, Repeat, Rules};
use crate::v1;
use crate::v1::cluster_service_client::ClusterServiceClient;

/// A backup as it arrives. It is not resumed: a master forgets one that nobody reads.
#[derive(Debug)]
pub struct SnapshotStream {
    client: Client,
    parts: Streaming<v1::SnapshotPart>,
}

impl Client {
    /// Begins a backup on the first master that answers.
    pub async fn save_snapshot(&self) -> Result<SnapshotStream, ClientError> {
        let rules = self.rules(Repeat::Always);
        // The answer comes when the checkpoint is taken, which takes a flush of the state. There is
        // time for another master all the same.
        let rules = Rules { attempt_timeout: rules.deadline / 2, ..rules };
        let request = v1::SaveSnapshotRequest {};
        let parts = self.call(rules, request, |channel, request| async move {
            let service = ClusterServiceClient::new(channel);
            service
                .max_decoding_message_size(crate::limits::MESSAGE_BYTES_MAX)
                .save_snapshot(request)
                .await
        });
        Ok(SnapshotStream { parts: parts.await?, client: self.clone() })
    }
}

impl SnapshotStream {
    /// Returns the bytes that follow; none at the end of the stream, which only the backup itself
    /// knows to be its own.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self.parts.message().await {
            Ok(part) => Ok(part.map(|part| part.data)),
            Err(status) => {
                let failure = self.client.on_status(&self.client.target(), &status);
                Err(failure.into_final(false))
            }
        }
    }
}
