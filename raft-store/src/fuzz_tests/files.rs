//! Fuzz tests of the small files of a data directory, which name its owner and its required
//! content.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cluster_fuzz::{Fuzz, mutated};
use cluster_state::{ClusterId, MasterId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{position, vote};
use crate::guard::{Guard, Witness};
use crate::identity::{Condition, Identity, Layout};
use crate::log_node::NodeId;
use crate::state_db;
use crate::torn::TornTail;

/// Returns guard files of one node's life, and everything that was ever in one.
fn guards(dir: &Path, witnesses: &[Witness]) -> Vec<Vec<u8>> {
    let path = dir.join("guard");
    let (first, others) = witnesses.split_first().unwrap();
    Guard::create(&path, *first).unwrap();
    let mut guard = Guard::open(&path).unwrap();
    let mut files = vec![fs::read(&path).unwrap()];
    for witness in others {
        guard.write(*witness).unwrap();
        files.push(fs::read(&path).unwrap());
    }
    files
}

#[test]
fn a_damaged_guard_is_refused_or_says_what_was_once_true() {
    let dir = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::default();
    let draw = || {
        let identity = Identity { node: NodeId(1), name: MasterId(1), cluster: Some(ClusterId(7)) };
        let drawn = (vote(), position(), position()).new_tree(&mut runner).unwrap().current();
        let (vote, last, purged) = drawn;
        Witness::new(identity, Some(&vote), Some(last), Some(purged))
    };
    let witnesses = std::iter::repeat_with(draw).take(6).collect::<Vec<_>>();
    let files = guards(dir.path(), &witnesses);

    let path = dir.path().join("damaged");
    Fuzz::of("guard files").run(mutated(select(files)), |bytes| {
        fs::write(&path, &bytes).unwrap();
        if let Ok(witness) = Guard::read(&path) {
            assert!(witnesses.contains(&witness), "{witness:?} was never written");
            assert_eq!(Guard::open(&path).unwrap().witness(), &witness);
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "reading changes nothing");
    });
}

/// Returns the content of a directory.
fn contents(dir: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut contents = BTreeMap::new();
    for path in entries {
        let name = path.display().to_string();
        if path.is_dir() {
            contents.extend(self::contents(&path));
            contents.insert(name, None);
        } else {
            contents.insert(name, Some(fs::read(&path).unwrap()));
        }
    }
    contents
}

#[test]
fn a_directory_in_use_is_never_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().to_owned());
    fs::create_dir_all(layout.log()).unwrap();
    fs::create_dir_all(layout.state()).unwrap();
    fs::write(layout.guard(), b"").unwrap();
    let texts = ["raft-store format 1\n", "db-1\n", "db-27\n"].map(|text| text.as_bytes().to_vec());
    let inputs = vec(mutated(select(texts.to_vec())), 2);

    Fuzz::of("format and pointer").run(inputs, |files| {
        let [format, pointer] = <[_; 2]>::try_from(files).unwrap();
        fs::write(dir.path().join("format"), format).unwrap();
        fs::write(layout.state().join("CURRENT"), pointer).unwrap();
        let before = contents(dir.path());

        assert_ne!(layout.inspect().ok(), Some(Condition::Fresh));
        assert!(state_db::inspect(&layout.state()).is_err(), "there is no database");

        assert_eq!(contents(dir.path()), before, "looking changes nothing");
    });
}

/// Generates records of a write-ahead log, as far as their headers go.
fn log_file() -> impl Strategy<Value = Vec<u8>> {
    let fragment = (0..6_u8, 0..3_000_u16, any::<u8>()).prop_map(|(kind, len, fill)| {
        let header = [9, 9, 9, 9].into_iter().chain(len.to_le_bytes()).chain([kind]);
        header.chain(std::iter::repeat_n(fill, usize::from(len))).collect::<Vec<_>>()
    });
    let tail = (0..2_000_usize).prop_map(|len| vec![0; len]);
    (vec(fragment, 0..30), tail).prop_map(|(fragments, tail)| [fragments.concat(), tail].concat())
}

#[test]
fn a_torn_log_is_looked_at_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("000007.log");
    Fuzz::of("torn logs").run(mutated(log_file()), |bytes| {
        fs::write(&path, &bytes).unwrap();
        TornTail::find(dir.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "looking changes nothing");
    });
}
