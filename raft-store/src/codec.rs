//! Encodes records and log entries: a format version first, then postcard.
//!
//! Every record carries its version, so that a binary that meets data of a newer one says so and
//! does not guess.

use bytes::Bytes;
use cluster_state::{Command, LogIndex, Proposal, Term, Timestamp};
use openraft::EntryPayload;
use openraft::impls::BasicNode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{Entry, Payload, StoredMembership, log_id};

/// Members of the cluster, as an entry changes them.
type Membership = openraft::Membership<u64, BasicNode>;

/// Version that this program writes, and the newest that it reads.
pub const FORMAT: u8 = 1;

/// Bytes before the payload of an encoded log entry: version, kind, term.
const ENTRY_HEADER_BYTES: usize = 10;

/// The version and the longest encoding of a 64-bit number.
const STAMP_BYTES_MAX: usize = 11;

const KIND_BLANK: u8 = 0;
const KIND_PROPOSAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Reason that bytes cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early.
    #[error("record is cut short")]
    Short,
    /// A newer release wrote them.
    #[error("record has format {found}, this binary knows formats up to {known}")]
    UnknownVersion {
        /// Version of the bytes.
        found: u8,
        /// Newest version that this program knows.
        known: u8,
    },
    /// The log has an entry of a kind that this program does not know.
    #[error("log entry has unknown kind {0}")]
    UnknownKind(u8),
    /// The version is known, but the rest is malformed.
    #[error("record is malformed")]
    Malformed(#[from] postcard::Error),
    /// The record is followed by bytes that do not belong to it.
    #[error("record is followed by {0} stray bytes")]
    Trailing(usize),
    /// A membership cannot be read.
    #[error("membership is malformed")]
    Membership(#[from] serde_json::Error),
    /// A membership has no voters, or no address for one of them.
    #[error("membership has no voters, or voters without an address")]
    NoQuorum,
    /// A key does not have the layout of its table.
    #[error("key is malformed")]
    Key,
}

impl CodecError {
    /// Returns the format that a newer binary must have written, if that is why the bytes cannot be
    /// read.
    pub(crate) const fn newer_format(&self) -> Option<u8> {
        match self {
            Self::UnknownVersion { found, known } if *found > *known => Some(*found),
            Self::Short
            | Self::UnknownVersion { .. }
            | Self::UnknownKind(_)
            | Self::Malformed(_)
            | Self::Trailing(_)
            | Self::Membership(_)
            | Self::NoQuorum
            | Self::Key => None,
        }
    }
}

/// Encodes a proposal for the log.
///
/// # Errors
///
/// Only if the value cannot be represented, which no proposal is.
pub fn encode_proposal(proposal: &Proposal) -> Result<Payload, CodecError> {
    let mut out = Vec::with_capacity(256);
    encode_into(proposal, &mut out)?;
    Ok(Payload(out.into()))
}

/// Encodes a command without the leader's stamp.
///
/// # Errors
///
/// Only if the value cannot be represented, which no command is.
pub(crate) fn encode_command(command: &Command) -> Result<Bytes, CodecError> {
    Ok(postcard::to_extend(command, Vec::with_capacity(256))?.into())
}

/// Decodes a command that a follower encoded with [`encode_command`].
///
/// # Errors
/// If the bytes are not exactly one command.
pub(crate) fn decode_command(bytes: &[u8]) -> Result<Command, CodecError> {
    let (command, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(command) } else { Err(CodecError::Trailing(rest.len())) }
}

/// Turns an encoded command into an encoded proposal: the encoding of a record is that of its
/// fields in order, so a leader need not encode a forwarded command again.
pub(crate) fn stamp(proposed_at: Timestamp, command: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(command.len() + STAMP_BYTES_MAX);
    out.push(FORMAT);
    let mut rest = proposed_at.0;
    // Postcard writes numbers in groups of seven bits, the lowest first, and marks all but the
    // last.
    while let Some(group) = u8::try_from(rest & 0x7f).ok().filter(|_| rest > 0x7f) {
        out.push(group | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0x7f));
    out.extend_from_slice(command);
    out.into()
}

/// Decodes the payload of a log entry.
///
/// # Errors
///
/// If the bytes are not a proposal of a version that this program knows.
pub fn decode_proposal(payload: &Payload) -> Result<Proposal, CodecError> {
    decode(&payload.0)
}

/// Appends an encoded record to `out`, so that a batch can reuse one buffer.
pub(crate) fn encode_into<T: Serialize>(record: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.push(FORMAT);
    let buffer = std::mem::take(out);
    *out = postcard::to_extend(record, buffer)?;
    Ok(())
}

pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(64);
    encode_into(record, &mut out)?;
    Ok(out)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (record, rest) = postcard::take_from_bytes(versioned(bytes)?)?;
    if rest.is_empty() { Ok(record) } else { Err(CodecError::Trailing(rest.len())) }
}

/// Encodes a record of openraft's as JSON, which names its fields, because openraft may change
/// their order.
pub(crate) fn encode_json<T: Serialize>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![FORMAT];
    serde_json::to_writer(&mut out, record)?;
    Ok(out)
}

pub(crate) fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(serde_json::from_slice(versioned(bytes)?)?)
}

fn versioned(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let (&version, rest) = bytes.split_first().ok_or(CodecError::Short)?;
    check_version(version)?;
    Ok(rest)
}

const fn check_version(version: u8) -> Result<(), CodecError> {
    if version == FORMAT {
        Ok(())
    } else {
        Err(CodecError::UnknownVersion { found: version, known: FORMAT })
    }
}

/// Appends the value under which the log stores an entry; its key is the index.
pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let kind = match &entry.payload {
        EntryPayload::Blank => KIND_BLANK,
        EntryPayload::Normal(_) => KIND_PROPOSAL,
        EntryPayload::Membership(_) => KIND_MEMBERSHIP,
    };
    out.extend_from_slice(&[FORMAT, kind]);
    out.extend_from_slice(&entry.log_id.leader_id.term.to_be_bytes());
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(payload) => out.extend_from_slice(&payload.0),
        EntryPayload::Membership(membership) => serde_json::to_writer(out, membership)?,
    }
    Ok(())
}

/// Decodes the output of [`encode_entry`].
pub(crate) fn decode_entry(index: LogIndex, bytes: &[u8]) -> Result<Entry, CodecError> {
    let (header, rest) =
        bytes.split_first_chunk::<ENTRY_HEADER_BYTES>().ok_or(CodecError::Short)?;
    let [version, kind, term @ ..] = *header;
    check_version(version)?;
    let payload = match kind {
        KIND_BLANK if !rest.is_empty() => return Err(CodecError::Trailing(rest.len())),
        KIND_BLANK => EntryPayload::Blank,
        KIND_PROPOSAL => EntryPayload::Normal(Payload(Bytes::copy_from_slice(rest))),
        KIND_MEMBERSHIP => EntryPayload::Membership(decode_membership(rest)?),
        unknown => return Err(CodecError::UnknownKind(unknown)),
    };
    Ok(Entry { log_id: log_id(Term(u64::from_be_bytes(term)), index), payload })
}

/// Decodes the membership of an entry. It must define a quorum: without voters, openraft takes any
/// set of nodes for one.
pub(crate) fn decode_membership(bytes: &[u8]) -> Result<Membership, CodecError> {
    let membership = serde_json::from_slice(bytes)?;
    check_quorum(&membership)?;
    Ok(membership)
}

/// Refuses a stored membership without a quorum. None is stored before the first entry that has
/// one.
pub(crate) fn check_stored(membership: &StoredMembership) -> Result<(), CodecError> {
    if *membership == StoredMembership::default() {
        return Ok(());
    }
    check_quorum(membership.membership())
}

fn check_quorum(membership: &Membership) -> Result<(), CodecError> {
    let sets = membership.get_joint_config();
    let has_voters = !sets.is_empty() && sets.iter().all(|voters| !voters.is_empty());
    let is_reached = membership.voter_ids().all(|voter| membership.get_node(&voter).is_some());
    if has_voters && is_reached { Ok(()) } else { Err(CodecError::NoQuorum) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cluster_state::{TaskId, Tick};
    use proptest::prelude::*;

    use super::*;

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        encode_entry(entry, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn proposals_survive_encoding(at: u64, term: u64, forget: Vec<u64>) {
            let forget = forget.into_iter().map(TaskId).collect();
            let command = Command::Tick(Tick { term: Term(term), forget });
            let proposal = Proposal { proposed_at: Timestamp(at), command };

            let decoded = decode_proposal(&encode_proposal(&proposal).unwrap()).unwrap();

            prop_assert_eq!(decoded, proposal);
        }

        #[test]
        fn entries_survive_encoding(term: u64, index: u64, bytes: Vec<u8>) {
            let payload = EntryPayload::Normal(Payload(bytes.into()));
            let entry = Entry { log_id: log_id(Term(term), LogIndex(index)), payload };

            let decoded = decode_entry(LogIndex(index), &encoded(&entry)).unwrap();

            prop_assert_eq!(decoded, entry);
        }

        #[test]
        fn memberships_survive_encoding(
            voters in proptest::collection::btree_set(any::<u64>(), 1..6),
            term: u64,
            index: u64,
        ) {
            let nodes = voters.iter().map(|&id| (id, BasicNode::new(id))).collect::<BTreeMap<_, _>>();
            let membership = Membership::new_with_defaults(vec![voters], nodes.into_keys());
            let payload = EntryPayload::Membership(membership);
            let entry = Entry { log_id: log_id(Term(term), LogIndex(index)), payload };

            let decoded = decode_entry(LogIndex(index), &encoded(&entry)).unwrap();

            prop_assert_eq!(decoded, entry);
        }
    }

    #[test]
    fn a_membership_says_who_decides() {
        let entry = |json: &str| {
            let header = [FORMAT, KIND_MEMBERSHIP, 0, 0, 0, 0, 0, 0, 0, 1];
            decode_entry(LogIndex(1), &[&header, json.as_bytes()].concat())
        };
        assert!(entry(r#"{"configs":[[1]],"nodes":{"1":{"addr":"a:1"}}}"#).is_ok());
        for json in [
            r#"{"configs":[],"nodes":{"1":{"addr":"a:1"}}}"#,
            r#"{"configs":[[]],"nodes":{"1":{"addr":"a:1"}}}"#,
            r#"{"configs":[[1],[]],"nodes":{"1":{"addr":"a:1"}}}"#,
            r#"{"configs":[[1,2]],"nodes":{"1":{"addr":"a:1"}}}"#,
        ] {
            assert!(matches!(entry(json), Err(CodecError::NoQuorum)), "{json}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let newer = Payload(Bytes::from_static(&[FORMAT + 1, 0, 0]));

        let error = decode_proposal(&newer).unwrap_err();

        assert_eq!(error.to_string(), "record has format 2, this binary knows formats up to 1");
    }

    #[test]
    fn stray_bytes_are_refused() {
        let mut bytes = encode(&TaskId(7)).unwrap();
        bytes.push(0);

        assert_eq!(
            decode::<TaskId>(&bytes).unwrap_err().to_string(),
            "record is followed by 1 stray bytes"
        );
    }
}
