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
use cluster_state::{Level, LogIndex, MasterId, Term};
use openraft::EntryPayload;
use proptest::collection::btree_set;
use proptest::prelude::*;

use crate::types::{Entry, LogId, MasterNode, Membership, NodeId, Payload, Vote, log_id};

/// An empty text takes a byte in an encoding and a few dozen in a list of texts; and serde makes room
/// of up to a mebibyte for each list that is announced, of which some are nested.
const MEMORY: Memory = Memory { per_byte: 128, fixed: 4 << 20 };

fn position() -> impl Strategy<Value = LogId> {
    (0..9_u64, 0..300_u64).prop_map(|(term, index)| log_id(Term(term), LogIndex(index)))
}

fn vote() -> impl Strategy<Value = Vote> {
    (0..9_u64, 1..4_u64, any::<bool>()).prop_map(|(term, node, committed)| match committed {
        true => Vote::new_committed(term, NodeId(node)),
        false => Vote::new(term, NodeId(node)),
    })
}

fn node() -> impl Strategy<Value = MasterNode> {
    let (name, level) =
        (proptest::option::of((1..9_u64).prop_map(MasterId)), proptest::option::of(Just(Level(2))));
    (name, proptest::option::of("[a-z]{1,3}"), level).prop_map(|(name, zone, level_max)| {
        MasterNode {
            addr: "10.0.0.1:50051".to_owned(),
            name,
            zone,
            level_max,
            ..MasterNode::default()
        }
    })
}

fn membership() -> impl Strategy<Value = Membership> {
    let set = || btree_set((1..6_u64).prop_map(NodeId), 1..4);
    (proptest::collection::vec(set(), 1..3), set(), node()).prop_map(|(voters, learners, node)| {
        let nodes = voters.iter().chain([&learners]).flatten().copied().collect::<BTreeSet<_>>();
        let nodes = nodes.into_iter().map(|id| (id, node.clone())).collect::<BTreeMap<_, _>>();
        Membership::new(voters, nodes).unwrap()
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
