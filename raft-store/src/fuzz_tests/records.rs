//! Fuzz tests of the records of the state, the votes and the positions on disk, and the verdicts of
//! leaders.

use std::fmt::Debug;

use cluster_fuzz::{Fuzz, mutated};
use cluster_state::{
    AuditRecord, Cascade, Change, ClusterId, Departed, HolderRecord, IdempotencyRecord,
    IssuerRecord, Job, JoinToken, LeaderRecord, Level, LogIndex, MassLoss, MasterId, Meta, Orphan,
    Queue, Record, Schedule, SettingsRecord, State, Task, UserToken, Worker,
};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::proposals::{Past, Step, log};
use super::{MEMORY, membership, position, vote};
use crate::codec::{
    Versioned, check_stored, decode, decode_json, encode, encode_json, encode_record,
};
use crate::identity::Identity;
use crate::propose::{ProposeError, Verdict};
use crate::types::{LogId, NodeId, StoredMembership, Vote};

/// Generates one of the records that a log leads to.
fn record() -> impl Strategy<Value = Vec<u8>> {
    (log(), any::<Index>()).prop_map(|((start, steps), at)| {
        let records = records(start, steps);
        records.get(at.index(records.len())).unwrap().clone()
    })
}

pub(super) fn records(start: Record, steps: Vec<Step>) -> Vec<Vec<u8>> {
    let mut state = State::new();
    state.restore(start);
    let unknown = Identity { node: NodeId(1 << 40), name: MasterId(3), cluster: None };
    let known = Identity { cluster: Some(ClusterId(7)), ..unknown };
    let mut records =
        vec![encode(&unknown, Level::NEWEST).unwrap(), encode(&known, Level::NEWEST).unwrap()];
    for (step, index) in steps.into_iter().zip(1..) {
        let proposal = step.proposal(&state, &Past::default());
        let applied = state.apply(LogIndex(index), proposal);
        let verdict: Verdict = match applied.reply {
            Ok(reply) => Ok((LogIndex(index), reply)),
            Err(rejection) => Err(ProposeError::Rejected { rejection, index: LogIndex(index) }),
        };
        records.push(encode(&verdict, Level::NEWEST).unwrap());
        records.extend(applied.changes.iter().filter_map(stored));
    }
    records
}

fn stored(change: &Change) -> Option<Vec<u8>> {
    let Change::Put(record) = change else { return None };
    let mut written = Vec::new();
    encode_record(record, Level::NEWEST, &mut written).unwrap();
    Some(written)
}

/// Bytes written for one type may be read as another.
fn check<T: Versioned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(record) = MEMORY.hold(bytes, decode::<T>) else { return };
    let written = encode(&record, Level::NEWEST).unwrap();
    assert_eq!(decode::<T>(&written).unwrap(), record);
}

fn check_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(record) = MEMORY.hold(bytes, decode_json::<T>) else { return };
    let written = encode_json(&record).unwrap();
    assert_eq!(decode_json::<T>(&written).unwrap(), record);
}

#[test]
fn a_record_is_read_as_written_or_refused() {
    Fuzz::of("records").at_most(128).run(mutated(record()), |bytes| {
        check::<Task>(&bytes);
        check::<Worker>(&bytes);
        check::<Meta>(&bytes);
        check::<LeaderRecord>(&bytes);
        check::<IdempotencyRecord>(&bytes);
        check::<Departed>(&bytes);
        check::<JoinToken>(&bytes);
        check::<MassLoss>(&bytes);
        check::<SettingsRecord>(&bytes);
        check::<UserToken>(&bytes);
        check::<Orphan>(&bytes);
        check::<AuditRecord>(&bytes);
        check::<IssuerRecord>(&bytes);
        check::<HolderRecord>(&bytes);
        check::<Job>(&bytes);
        check::<Schedule>(&bytes);
        check::<Queue>(&bytes);
        check::<Cascade>(&bytes);
        check::<Identity>(&bytes);
        check::<Verdict>(&bytes);
    });
}

#[test]
fn a_record_of_raft_is_read_as_written_or_refused() {
    let membership = (position(), membership())
        .prop_map(|(position, membership)| StoredMembership::new(Some(position), membership));
    let encoded = prop_oneof![
        vote().prop_map(|vote| encode_json(&vote).unwrap()),
        position().prop_map(|position| encode_json(&position).unwrap()),
        membership.prop_map(|membership| encode_json(&membership).unwrap()),
    ];
    Fuzz::of("records of Raft").run(mutated(encoded), |bytes| {
        check_json::<Vote>(&bytes);
        check_json::<LogId>(&bytes);
        check_json::<StoredMembership>(&bytes);
        if let Ok(membership) = decode_json(&bytes) {
            check_stored(&membership).ok();
        }
    });
}
