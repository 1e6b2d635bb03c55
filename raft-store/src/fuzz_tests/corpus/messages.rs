//! The corpus of what has no level: messages between masters, entries of the log, records of Raft, and
//! the guard.
//!
//! `corpus/messages.txt` is like the files of the levels. `UPDATE_CORPUS=1` writes the readings anew, and
//! the first encodings of a kind that is not there yet.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use cluster_state::{ClusterId, LogIndex, MasterId};
use openraft::raft::{StreamAppendError, TransferLeaderRequest, VoteRequest, VoteResponse};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;
use proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::messages::{append, manifest};
use super::super::{commands, entry, membership, position, vote};
use super::{hex, unhex};
use crate::codec::{decode_entry, decode_json, encode_entry, encode_json};
use crate::guard::{Guard, Witness};
use crate::identity::Identity;
use crate::network::wire;
use crate::snapshot::Manifest;
use crate::types::{LogId, NodeId, StoredMembership, TypeConfig, Vote};

/// Samples of each kind.
const SAMPLES: usize = 3;
/// Bytes of the guard file, whose rest is zeros.
const GUARD_BYTES: usize = 8192;

/// Decodes an encoding. Returns its reading, and what is written for it now.
type Read = fn(&[u8]) -> (String, Vec<u8>);

const KINDS: [(&str, Read); 12] = [
    ("append", |bytes| {
        let read = wire::append_in(v1::AppendRequest::decode(bytes).unwrap()).unwrap();
        (format!("{read:?}"), wire::append_out(read).unwrap().encode_to_vec())
    }),
    ("appended", |bytes| {
        let read = wire::appended_in(v1::AppendResponse::decode(bytes).unwrap()).unwrap();
        (format!("{read:?}"), wire::appended_out(&read).encode_to_vec())
    }),
    ("ballot", |bytes| {
        let read = wire::ballot_in(v1::VoteRequest::decode(bytes).unwrap()).unwrap();
        (format!("{read:?}"), wire::ballot_out(&read).encode_to_vec())
    }),
    ("ballot-answer", |bytes| {
        let read = wire::answer_in(v1::VoteResponse::decode(bytes).unwrap()).unwrap();
        (format!("{read:?}"), wire::answer_out(&read).encode_to_vec())
    }),
    ("hand-over", |bytes| {
        let read = serde_json::from_slice::<TransferLeaderRequest<TypeConfig>>(bytes).unwrap();
        (format!("{read:?}"), serde_json::to_vec(&read).unwrap())
    }),
    ("forwarded", |bytes| {
        let read = v1::ProposeRequest::decode(bytes).unwrap();
        (format!("{read:?}"), read.encode_to_vec())
    }),
    ("snapshot", |bytes| {
        let read = Manifest::decode(bytes).unwrap();
        (format!("{read:?}"), read.encode().unwrap())
    }),
    ("entry", |bytes| {
        let read = decode_entry(LogIndex(7), bytes).unwrap();
        let mut written = Vec::new();
        encode_entry(&read, &mut written).unwrap();
        (format!("{read:?}"), written)
    }),
    ("vote", read_json::<Vote>),
    ("position", read_json::<LogId>),
    ("membership", read_json::<StoredMembership>),
    ("guard", |bytes| {
        let (dir, path) = guard_file(bytes);
        let read = *Guard::open(&path).unwrap().witness();
        drop(dir);
        (format!("{read:?}"), guard(read))
    }),
];

fn read_json<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) -> (String, Vec<u8>) {
    let read = decode_json::<T>(bytes).unwrap();
    (format!("{read:?}"), encode_json(&read).unwrap())
}

/// Returns the first bytes of a new guard file: all but the zeros at its end.
fn guard(witness: Witness) -> Vec<u8> {
    let (_dir, path) = guard_file(&[]);
    Guard::create(&path, witness).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), GUARD_BYTES);
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(length);
    bytes
}

fn guard_file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard");
    let mut whole = bytes.to_vec();
    whole.resize(GUARD_BYTES, 0);
    fs::write(&path, whole).unwrap();
    (dir, path)
}

/// Draws one encoding of a kind.
fn sample(kind: &str, runner: &mut TestRunner) -> Vec<u8> {
    let mut draw = |strategy: BoxedStrategy<Vec<u8>>| strategy.new_tree(runner).unwrap().current();
    draw(match kind {
        "append" => append().prop_map(|request| request.encode_to_vec()).boxed(),
        "appended" => prop_oneof![
            position().prop_map(|at| Ok(Some(at))),
            position().prop_map(|at| Err(StreamAppendError::Conflict(at))),
            vote().prop_map(|vote| Err(StreamAppendError::HigherVote(vote))),
        ]
        .prop_map(|result| wire::appended_out(&result).encode_to_vec())
        .boxed(),
        "ballot" => (vote(), position())
            .prop_map(|(vote, last)| VoteRequest::new(vote, Some(last)))
            .prop_map(|request| wire::ballot_out(&request).encode_to_vec())
            .boxed(),
        "ballot-answer" => (vote(), position(), any::<bool>())
            .prop_map(|(vote, last, granted)| VoteResponse::new(vote, Some(last), granted))
            .prop_map(|response| wire::answer_out(&response).encode_to_vec())
            .boxed(),
        "hand-over" => (vote(), 1..4_u64, position())
            .prop_map(|(from, to, last)| {
                TransferLeaderRequest::<TypeConfig>::new(from, NodeId(to), Some(last))
            })
            .prop_map(|request| serde_json::to_vec(&request).unwrap())
            .boxed(),
        "forwarded" => (any::<u64>(), commands::encoded())
            .prop_map(|(id, command)| v1::ForwardedCommand { id, command: command.into() })
            .prop_map(|command| v1::ProposeRequest { commands: vec![command] }.encode_to_vec())
            .boxed(),
        // Two files of one name are refused.
        "snapshot" => manifest()
            .prop_filter("names are different", |bytes| Manifest::decode(bytes).is_ok())
            .boxed(),
        "entry" => entry()
            .prop_map(|entry| {
                let mut written = Vec::new();
                encode_entry(&entry, &mut written).unwrap();
                written
            })
            .boxed(),
        "vote" => vote().prop_map(|vote| encode_json(&vote).unwrap()).boxed(),
        "position" => position().prop_map(|at| encode_json(&at).unwrap()).boxed(),
        "membership" => (position(), membership())
            .prop_map(|(at, membership)| StoredMembership::new(Some(at), membership))
            .prop_map(|membership| encode_json(&membership).unwrap())
            .boxed(),
        "guard" => (vote(), position(), position())
            .prop_map(|(vote, last, purged)| {
                let identity =
                    Identity { node: NodeId(1), name: MasterId(1), cluster: Some(ClusterId(7)) };
                guard(Witness::new(identity, Some(&vote), Some(last), Some(purged)))
            })
            .boxed(),
        other => panic!("no samples of {other}"),
    })
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/messages.txt")
}

/// Parses the file: kinds, encodings and readings in their order.
fn parse(text: &str) -> Vec<(String, Vec<u8>, String)> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut parsed = Vec::new();
    while let (Some(line), Some(reading)) = (lines.next(), lines.next()) {
        let (kind, digits) = line.split_once(' ').unwrap();
        parsed.push((kind.to_owned(), unhex(digits), reading.trim().to_owned()));
    }
    parsed
}

fn read(kind: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    known.unwrap_or_else(|| panic!("a {kind} in the corpus")).1(bytes)
}

/// Writes the readings of what is there, and samples of each kind that is not.
fn update() {
    let known = parse(&fs::read_to_string(path()).unwrap_or_default());
    let mut encodings = known.into_iter().map(|(kind, bytes, _)| (kind, bytes)).collect::<Vec<_>>();
    let mut runner = TestRunner::deterministic();
    for (kind, _) in KINDS {
        if encodings.iter().all(|(known, _)| known != kind) {
            let drawn = std::iter::repeat_with(|| sample(kind, &mut runner)).take(SAMPLES);
            encodings.extend(drawn.map(|bytes| (kind.to_owned(), bytes)));
        }
    }
    let mut text = "# Encodings that belong to no level, and their readings.\n".to_owned();
    for (kind, bytes) in encodings {
        let (reading, _) = read(&kind, &bytes);
        text.push_str(&format!("\n{kind} {}\n  {reading}\n", hex(&bytes)));
    }
    fs::write(path(), text).unwrap();
}

#[test]
fn whatever_a_release_has_sent_or_stored_is_read_as_it_was_meant() {
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        update();
    }
    let corpus = parse(&fs::read_to_string(path()).unwrap());
    let mut found = BTreeSet::new();
    for (kind, bytes, reading) in corpus {
        assert_eq!(read(&kind, &bytes), (reading, bytes), "{kind}");
        found.insert(kind);
    }
    assert_eq!(found, KINDS.iter().map(|(kind, _)| (*kind).to_owned()).collect());
}
