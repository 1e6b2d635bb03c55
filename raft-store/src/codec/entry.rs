//! Entries of the log, as they are stored.

use bytes::Bytes;
use cluster_state::{LogIndex, Term};
use openraft::EntryPayload;

use super::CodecError;
use crate::types::{Entry, Membership, Payload, StoredMembership, log_id};

/// The layout of an entry's header. Payloads say their levels themselves.
const FORMAT: u8 = 1;

/// Bytes before the payload of an encoded log entry: format, kind, term.
const ENTRY_HEADER_BYTES: usize = 10;

const KIND_BLANK: u8 = 0;
const KIND_PROPOSAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

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
        EntryPayload::Normal(payload) => out.extend_from_slice(payload.bytes()),
        EntryPayload::Membership(membership) => serde_json::to_writer(out, membership)?,
    }
    Ok(())
}

/// Decodes what [`encode_entry`] wrote.
pub(crate) fn decode_entry(index: LogIndex, bytes: &[u8]) -> Result<Entry, CodecError> {
    let (header, rest) =
        bytes.split_first_chunk::<ENTRY_HEADER_BYTES>().ok_or(CodecError::Short)?;
    let [format, kind, term @ ..] = *header;
    if format != FORMAT {
        return Err(CodecError::UnknownFormat(format));
    }
    let payload = match kind {
        KIND_BLANK if !rest.is_empty() => return Err(CodecError::Trailing(rest.len())),
        KIND_BLANK => EntryPayload::Blank,
        KIND_PROPOSAL => EntryPayload::Normal(Payload::new(Bytes::copy_from_slice(rest))),
        KIND_MEMBERSHIP => EntryPayload::Membership(decode_membership(rest)?),
        unknown => return Err(CodecError::UnknownKind(unknown)),
    };
    Ok(Entry { log_id: log_id(Term(u64::from_be_bytes(term)), index), payload })
}

/// Decodes the membership in an entry, which must define a quorum: of one without voters openraft
/// takes any set of nodes for a quorum.
pub(crate) fn decode_membership(bytes: &[u8]) -> Result<Membership, CodecError> {
    let membership = serde_json::from_slice(bytes)?;
    check_quorum(&membership)?;
    Ok(membership)
}

/// Refuses a stored membership without a quorum. None is stored before the first entry that brings
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

    use cluster_state::MasterId;
    use proptest::prelude::*;

    use super::*;
    use crate::types::{MasterNode, NodeId};

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        encode_entry(entry, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn entries_survive_encoding(term: u64, index: u64, bytes: Vec<u8>) {
            let payload = EntryPayload::Normal(Payload::new(bytes.into()));
            let entry = Entry { log_id: log_id(Term(term), LogIndex(index)), payload };

            let decoded = decode_entry(LogIndex(index), &encoded(&entry)).unwrap();

            prop_assert_eq!(decoded, entry);
        }

        #[test]
        fn memberships_survive_encoding(
            voters in proptest::collection::btree_set(any::<u64>().prop_map(NodeId), 1..6),
            term: u64,
            index: u64,
        ) {
            let node = |&id: &NodeId| (id, MasterNode::at(MasterId(id.0), id.to_string()));
            let nodes = voters.iter().map(node).collect::<BTreeMap<_, _>>();
            let membership = Membership::new(vec![voters], nodes).unwrap();
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
}
