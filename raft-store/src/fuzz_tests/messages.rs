//! Fuzz tests of messages of other masters: a stream of entries, ballots, and the description of a
//! snapshot.

use std::collections::BTreeSet;
use std::fmt::Debug;

use cluster_fuzz::{Fuzz, mutated};
use cluster_state::ClusterId;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use proto::v1;

use super::{MEMORY, entry, membership, position, vote};
use crate::log_node::NodeId;
use crate::network::plausibility::Known;
use crate::network::wire;
use crate::snapshot::{Manifest, ManifestFile};
use crate::types::{SnapshotMeta, StoredMembership, TypeConfig};

/// Returns a receiver that believes members as far as it can.
fn known() -> impl Strategy<Value = Known> {
    (0..9_u64, option::of(position())).prop_map(|(term, committed)| Known {
        id: NodeId(9),
        term,
        committed,
        is_member: true,
        membership_at: None,
    })
}

pub(super) fn append() -> impl Strategy<Value = v1::AppendRequest> {
    let request = (vote(), option::of(position()), option::of(position()), vec(entry(), 0..4));
    request.prop_map(|(vote, prev_log_id, leader_commit, entries)| {
        let request = AppendEntriesRequest { vote, prev_log_id, leader_commit, entries };
        wire::append_out(request).unwrap()
    })
}

/// Generates any answer or ballot.
fn ballot() -> impl Strategy<Value = Vec<u8>> {
    let position = || option::of(position());
    let appended = prop_oneof![
        position().prop_map(Ok),
        super::position().prop_map(|at| Err(StreamAppendError::Conflict(at))),
        vote().prop_map(|vote| Err(StreamAppendError::HigherVote(vote))),
    ];
    prop_oneof![
        appended.prop_map(|result| wire::appended_out(&result).encode_to_vec()),
        (vote(), position())
            .prop_map(
                |(vote, last)| wire::ballot_out(&VoteRequest::new(vote, last)).encode_to_vec()
            ),
        (vote(), position(), any::<bool>()).prop_map(|(vote, last, granted)| {
            wire::answer_out(&VoteResponse::new(vote, last, granted)).encode_to_vec()
        }),
    ]
}

/// Decodes a message, encodes it and decodes it again.
fn check<M, T, E>(
    bytes: &[u8],
    read: impl Fn(M) -> Result<T, E>,
    write: impl Fn(&T) -> M,
) -> Option<T>
where
    M: Message + Default,
    T: Debug,
    E: Debug,
{
    let decode = |bytes: &[u8]| M::decode(bytes).ok().and_then(|message| read(message).ok());
    let value = MEMORY.hold(bytes, decode)?;
    let again = read(write(&value)).unwrap();
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
    Some(value)
}

#[test]
fn entries_of_a_leader_are_read_as_sent_or_refused() {
    let encoded = mutated(append().prop_map(|request| request.encode_to_vec()));
    Fuzz::of("entries of a leader").run((encoded, known()), |(bytes, known)| {
        let decode = |bytes: &[u8]| {
            let message = v1::AppendRequest::decode(bytes).ok()?;
            wire::append_in(message).ok()
        };
        let Some(request) = MEMORY.hold(bytes.as_slice(), decode) else { return };

        // A believed message is valid, so Raft can take it as it is.
        if known.check_append(&request).is_ok() {
            let indexes = request.entries.iter().map(|entry| entry.log_id.index);
            let first = request.prev_log_id.map_or(0, |prev| prev.index + 1);
            assert!(indexes.eq(first..first + request.entries.len() as u64));
        }
        let shown = format!("{request:?}");
        let sent = wire::append_out(request).unwrap();
        assert_eq!(format!("{:?}", wire::append_in(sent).unwrap()), shown);
    });
}

#[test]
fn ballots_and_answers_are_read_as_sent_or_refused() {
    Fuzz::of("ballots and answers").run((mutated(ballot()), known()), |(bytes, known)| {
        check(&bytes, wire::appended_in, wire::appended_out);
        check(&bytes, wire::answer_in, wire::answer_out);
        if let Some(ballot) = check(&bytes, wire::ballot_in, wire::ballot_out) {
            known.check_ballot(&ballot).ok();
        }
    });
}

#[test]
fn a_hand_over_is_read_as_sent_or_refused() {
    let request = (vote(), 1..4_u64, option::of(position())).prop_map(|(vote, to, last)| {
        TransferLeaderRequest::<TypeConfig>::new(vote, NodeId(to), last)
    });
    let encoded = request.prop_map(|request| serde_json::to_vec(&request).unwrap());
    Fuzz::of("hand-overs").run((mutated(encoded), known()), |(bytes, known)| {
        let decode =
            |bytes: &[u8]| serde_json::from_slice::<TransferLeaderRequest<TypeConfig>>(bytes);
        let Ok(request) = MEMORY.hold(bytes.as_slice(), decode) else { return };
        known.check_leader(request.from_leader(), request.last_log_id()).ok();
        let sent = serde_json::to_vec(&request).unwrap();
        assert_eq!(decode(&sent).unwrap(), request);
    });
}

pub(super) fn manifest() -> impl Strategy<Value = Vec<u8>> {
    let meta = (position(), membership()).prop_map(|(at, membership)| SnapshotMeta {
        last_log_id: Some(at),
        last_membership: StoredMembership::new(Some(at), membership),
    });
    let file = ("[A-Z]{1,8}|0000[0-9]{2}\\.sst", any::<u64>(), any::<u32>())
        .prop_map(|(name, len, crc32)| ManifestFile { name, len, crc32 });
    let cluster = option::of(any::<u128>().prop_map(ClusterId));
    ("[0-9a-f-]{1,36}", cluster, meta, vec(file, 0..5)).prop_map(|(id, cluster, meta, files)| {
        Manifest { format: 1, id, cluster, meta, files }.encode().unwrap()
    })
}

#[test]
fn the_description_of_a_snapshot_is_read_as_written_or_refused() {
    Fuzz::of("descriptions of snapshots").run(mutated(manifest()), |bytes| {
        let Ok(manifest) = MEMORY.hold(bytes.as_slice(), Manifest::decode) else { return };

        assert_eq!(Manifest::decode(&manifest.encode().unwrap()).unwrap(), manifest);
        let names = manifest.files.iter().map(|file| &file.name).chain([&manifest.id]);
        for name in names {
            assert!(!name.starts_with('.') && !name.contains(['/', '\0']), "{name:?} leads away");
        }
        let names = manifest.files.iter().map(|file| &file.name).collect::<BTreeSet<_>>();
        assert_eq!(names.len(), manifest.files.len());
    });
}
