//! The payload of a log entry: an encoded proposal, with its decoded form while that is at hand.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cluster_state::Command;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// An encoded proposal: see [`crate::encode_proposal`]. The log does not interpret it.
///
/// A leader decodes what another master forwards in order to check it, and applies it soon after.
/// The payload carries the decoded command from one to the other. The bytes alone say what it means:
/// the command is what [`crate::decode_proposal`] would return.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload {
    bytes: Bytes,
    #[serde(skip)]
    decoded: Option<Arc<Mutex<Option<Command>>>>,
}

impl Payload {
    /// Creates a payload of an encoded proposal.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes, decoded: None }
    }

    /// Creates a payload of an encoded proposal and the command decoded from it.
    pub(crate) fn with_decoded(bytes: Bytes, command: Command) -> Self {
        Self { bytes, decoded: Some(Arc::new(Mutex::new(Some(command)))) }
    }

    /// Returns the encoded proposal.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the encoded proposal.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Removes the decoded command from this payload and all its clones. The log keeps entries in
    /// memory after they are applied, and bounds their bytes only.
    pub(crate) fn take_decoded(&self) -> Option<Command> {
        self.decoded.as_ref()?.lock().take()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.bytes.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{Level, Proposal, Term, Tick, Timestamp};

    use super::*;
    use crate::codec;

    #[test]
    fn a_decoded_command_is_used_once_and_kept_by_no_clone() {
        let command = Command::Tick(Tick { term: Term(3), forget: Vec::new() });
        let proposal = Proposal { proposed_at: Timestamp(5), command: command.clone() };
        let encoded = codec::encode_proposal(&proposal, Level::NEWEST).unwrap();
        let payload = Payload::with_decoded(encoded.bytes().clone(), command);
        let in_the_log = payload.clone();
        assert_eq!(payload, encoded);

        assert_eq!(codec::decode_proposal(&payload).unwrap(), proposal);

        assert_eq!(in_the_log.take_decoded(), None);
        assert_eq!(codec::decode_proposal(&in_the_log).unwrap(), proposal);
    }
}
