//! Fuzz tests of the input from a disk or another master: it is read as it was written, or refused.

mod commands;
mod corpus;
mod files;
mod messages;
#[path = "../state/tests/replay/proposals.rs"]
mod proposals;
mod records;

use std::collections::{BTreeMap, BTreeSet};

use cluster_fuzz::Memory;
use cluster_state::{LogIndex, Term};
use openraft::EntryPayload;
use openraft::impls::BasicNode;
use proptest::collection::btree_set;
use proptest::prelude::*;

use crate::types::{Entry, LogId, Payload, Vote, log_id};

/// An empty text takes a byte in an encoding and a few dozen in a list of texts; and serde makes room
/// of up to a mebibyte for each list that is announced, of which some are nested.
const MEMORY: Memory = Memory { per_byte: 128, fixed: 4 << 20 };

fn position() -> impl Strategy<Value = LogId> {
    (0..9_u64, 0..300_u64).prop_map(|(term, index)| log_id(Term(term), LogIndex(index)))
}

fn vote() -> impl Strategy<Value = Vote> {
    (0..9_u64, 1..4_u64, any::<bool>()).prop_map(|(term, node, committed)| match committed {
        true => Vote::new_committed(term, node),
        false => Vote::new(term, node),
    })
}

fn membership() -> impl Strategy<Value = openraft::Membership<u64, BasicNode>> {
    let set = || btree_set(1..6_u64, 1..4);
    (proptest::collection::vec(set(), 1..3), set()).prop_map(|(voters, learners)| {
        let nodes = voters.iter().chain([&learners]).flatten().copied().collect::<BTreeSet<_>>();
        let address = |id| (id, BasicNode::new(format!("10.0.0.{id}:50051")));
        let nodes = nodes.into_iter().map(address).collect::<BTreeMap<_, _>>();
        openraft::Membership::new(voters, nodes).unwrap()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        1 => Just(EntryPayload::Blank),
        2 => commands::encoded().prop_map(|bytes| EntryPayload::Normal(Payload::new(bytes.into()))),
        4 => membership().prop_map(EntryPayload::Membership),
    ];
    (position(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}
