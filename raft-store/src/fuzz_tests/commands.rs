//! Fuzz tests of commands, as the log stores them and as followers forward them.

use cluster_fuzz::{Fuzz, Mutations, mutated, mutations};
use cluster_state::{Level, LogIndex, Proposal, State, TextMap, Timestamp, TokenId, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::proposals::{Past, Step, step, steps};
use super::{MEMORY, entry};
use crate::codec::{
    decode_command, decode_entry, decode_proposal, encode_command, encode_entry, stamp,
};
use crate::types::Payload;

/// Generates a command.
pub(super) fn encoded() -> impl Strategy<Value = Vec<u8>> {
    step().prop_map(|step| {
        encode_command(&step.proposal(&State::new(), &Past::default()).command, Level::NEWEST)
            .unwrap()
            .to_vec()
    })
}

/// Applies a log that a cluster may have.
pub(super) fn applied(log: Vec<Step>) -> (LogIndex, State) {
    let (mut index, mut state) = (LogIndex(0), State::new());
    for step in log {
        index = index.next();
        let proposal = step.proposal(&state, &Past::default());
        state.apply(index, proposal);
    }
    (index, state)
}

#[test]
fn a_command_is_read_as_written_or_refused() {
    let inputs = (mutated(encoded()), any::<u64>());
    Fuzz::of("commands").run(inputs, |(bytes, at)| {
        let Ok(command) = MEMORY.hold(&bytes, decode_command) else { return };

        let written = encode_command(&command, Level::NEWEST).unwrap();
        assert_eq!(decode_command(&written).unwrap(), command);
        let stamped = Payload::new(stamp(Timestamp(at), &bytes));
        let proposal = Proposal { proposed_at: Timestamp(at), command };
        assert_eq!(decode_proposal(&stamped).unwrap(), proposal);
    });
}

/// Binary search would not find such a value, and a path with it could lead elsewhere.
#[test]
fn what_is_no_value_of_a_type_is_refused() {
    let map =
        |names: [&str; 2]| postcard::to_stdvec(&names.map(|name| (name, "x")).to_vec()).unwrap();
    assert!(postcard::from_bytes::<TextMap>(&map(["a", "b"])).is_ok());
    assert!(postcard::from_bytes::<TextMap>(&map(["b", "a"])).is_err());
    assert!(postcard::from_bytes::<TextMap>(&map(["a", "a"])).is_err());
    let text = |text: &str| postcard::to_stdvec(text).unwrap();
    assert!(postcard::from_bytes::<TokenId>(&text("fleet")).is_ok());
    assert!(postcard::from_bytes::<TokenId>(&text("../fleet")).is_err());
    assert!(postcard::from_bytes::<WorkerId>(&text("../w1")).is_err());
}

#[test]
fn an_entry_is_read_as_written_or_refused() {
    let encoded = entry().prop_map(|entry| {
        let mut bytes = Vec::new();
        encode_entry(&entry, &mut bytes).unwrap();
        bytes
    });
    Fuzz::of("log entries").run(mutated(encoded), |bytes| {
        let decode = |bytes: &[u8]| decode_entry(LogIndex(7), bytes);
        let Ok(entry) = MEMORY.hold(&bytes, decode) else { return };

        let mut written = Vec::new();
        encode_entry(&entry, &mut written).unwrap();
        assert_eq!(decode(&written).unwrap(), entry);
    });
}

/// Commands of a broken master can be decoded, so they enter the log. They may be rejected or have
/// effects, but no invariant breaks and no master ends.
#[test]
fn whatever_command_can_be_read_can_be_applied() {
    let mutants = vec((step(), mutations(), clock()), 1..20);
    Fuzz::of("commands, applied").at_most(128).run((steps(), mutants), |(log, mutants)| {
        let (mut index, mut state) = applied(log);
        let mut before = Vec::new();
        for (step, mutations, proposed_at) in mutants {
            let bytes = mutant(&state, step, mutations, &mut before);
            let Ok(command) = decode_command(&bytes) else { continue };

            index = index.next();
            let applied = state.apply(index, Proposal { proposed_at, command: command.clone() });

            assert_eq!(state.check_invariants(), Ok(()), "after {command:?}: {:?}", applied.reply);
        }
        let mut restored = State::new();
        state.records().for_each(|record| restored.restore(record));
        assert_eq!(restored.check_invariants(), Ok(()));
    });
}

/// Generates a command that makes sense in this state, mutated; parts of the one before it may be
/// mixed in.
fn mutant(state: &State, step: Step, mutations: Mutations, before: &mut Vec<u8>) -> Vec<u8> {
    let encoded = encode_command(&step.proposal(state, &Past::default()).command, Level::NEWEST)
        .unwrap()
        .to_vec();
    let mutant = mutations.of(encoded.clone(), before);
    *before = encoded;
    mutant
}

fn clock() -> impl Strategy<Value = Timestamp> {
    let now = || 1_700_000_000_000_u64;
    let times = prop_oneof![8 => Just(now()), 2 => 0..2 * now(), 1 => Just(u64::MAX)];
    times.prop_map(Timestamp)
}
