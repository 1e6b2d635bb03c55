//! The corpus of whole states: every row of a snapshot, which later releases load.
//!
//! `corpus/snapshot-level-N.txt` has one row a line: its table, its key and its value, in hexadecimal, and
//! at its end the digest of the state. A file of a released level never changes; `UPDATE_CORPUS=1`
//! writes the one of a new level. The files of RocksDB themselves are not kept: they name the machine that wrote them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use cluster_state::{
    Command, Fnv1a, Level, LogIndex, Meta, Proposal, RaiseLevel, Record, State, Term, Timestamp,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::super::membership;
use super::super::proposals::{Past, steps};
use super::{hex, unhex};
use crate::codec::encode_record;
use crate::keys::Table;
use crate::rocks;
use crate::state_db::{Batch, Restored, StateDb};
use crate::types::{StoredMembership, log_id};

/// Fewest commands that make the state.
const COMMANDS_MIN: u64 = 300;

/// A row: the name of its table, its key and its value.
type Row = (String, Vec<u8>, Vec<u8>);

fn path(level: Level) -> PathBuf {
    let name = format!("corpus/snapshot-level-{level}.txt");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn parse(text: &str) -> (Vec<Row>, String) {
    let mut rows = Vec::new();
    let mut digest = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["digest", value] => digest = value.to_owned(),
            [table, key, value] => rows.push((table.to_owned(), unhex(key), unhex(value))),
            _ => panic!("no row: {line}"),
        }
    }
    (rows, digest)
}

/// Returns the digest of a state, and the encodings of its records.
fn digest(state: &State) -> (String, BTreeSet<Vec<u8>>) {
    let mut digest = Fnv1a::default();
    let mut encodings = BTreeSet::new();
    for record in state.records() {
        let mut encoded = Vec::new();
        encode_record(&record, state.meta().level, &mut encoded).unwrap();
        digest.write(encoded.iter().copied());
        encodings.insert(encoded);
    }
    (format!("{:016x}", digest.finish()), encodings)
}

/// Stores a state of this level in a database.
fn store(database: &StateDb, level: Level) {
    let mut runner = TestRunner::deterministic();
    let mut state = State::new();
    let mut changes = Vec::new();
    let mut index = LogIndex(0);
    let membership = membership().new_tree(&mut runner).unwrap().current();
    let logs = std::iter::repeat_with(|| steps().new_tree(&mut runner).unwrap().current());
    let mut drawn = logs.flatten();
    if level > Level::FIRST {
        // A cluster that was restored has records of every kind.
        let meta = Meta::default();
        let meta = meta.in_generation(meta.generation.following(meta.next_task, 7));
        state.restore(Record::Meta(meta));
        let command = Command::RaiseLevel(RaiseLevel { term: Term(0), level });
        index = index.next();
        let applied = state.apply(index, Proposal { proposed_at: Timestamp(1), command });
        changes.extend(applied.changes.into_iter().map(|change| (index, change)));
    }
    // Until a moment at which each table has rows.
    while index.0 < COMMANDS_MIN || !is_rich(&state) {
        let proposal = drawn.next().unwrap().proposal(&state, &Past::default());
        if !matches!(proposal.command, Command::RaiseLevel(_)) {
            index = LogIndex(index.0 + 1);
            let applied = state.apply(index, proposal);
            changes.extend(applied.changes.into_iter().map(|change| (index, change)));
        }
    }
    assert_eq!(level, state.meta().level, "the samples are of this level");

    let at = log_id(Term(9), index);
    let mut batch = Batch::new(database.database(), level).unwrap();
    batch.put_applied(at).unwrap();
    batch.put_membership(&StoredMembership::new(Some(at), membership)).unwrap();
    batch.put_changes(&changes).unwrap();
    batch.write().unwrap();
}

fn is_rich(state: &State) -> bool {
    state.keys() > 0
        && state.workers().next().is_some()
        && state.departed().next().is_some()
        && state.tokens().next().is_some()
        && state.mass_loss().is_some()
        && state.live_tasks() > 2
        && (state.settings().is_some()
            && state.user_tokens().next().is_some()
            && state.orphans().next().is_some()
            && state.issuer().is_some()
            && state.holders().next().is_some()
            && state.trail().next().is_some()
            && state.schedules().next().is_some()
            && state.queues().next().is_some()
            || state.meta().level < Level(2))
}

fn render(level: Level) -> String {
    let dir = tempfile::tempdir().unwrap();
    let database = StateDb::open(dir.path().join("db")).unwrap();
    store(&database, level);

    let mut text =
        format!("# Rows of a snapshot of feature level {level}, and the state's digest.\n");
    for table in Table::ALL {
        let handle = rocks::table(database.database(), table.name()).unwrap();
        let mut rows = database.database().raw_iterator_cf(handle);
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            writeln!(text, "{} {} {}", table.name(), hex(key), hex(value)).unwrap();
            rows.next();
        }
    }
    let (digest, _) = digest(&Restored::load(database.database()).unwrap().state);
    writeln!(text, "digest {digest}").unwrap();
    text
}

#[test]
fn a_snapshot_of_each_released_level_is_loaded() {
    for level in (Level::FIRST.0..=Level::NEWEST.0).map(Level) {
        let path = path(level);
        if std::env::var_os("UPDATE_CORPUS").is_some() && !path.exists() {
            fs::write(&path, render(level)).unwrap();
        }
        let (rows, expected) = parse(&fs::read_to_string(&path).unwrap());

        let dir = tempfile::tempdir().unwrap();
        let store = StateDb::open(dir.path().join("db")).unwrap();
        for (table, key, value) in &rows {
            let table = Table::ALL.into_iter().find(|known| known.name() == table).unwrap();
            let handle = rocks::table(store.database(), table.name()).unwrap();
            store.database().put_cf(handle, key, value).unwrap();
        }
        let restored = Restored::load(store.database()).unwrap();

        let (found, encodings) = digest(&restored.state);
        assert_eq!(found, expected);
        assert_eq!(restored.state.check_invariants(), Ok(()));
        assert!(restored.applied.is_some());
        let stored = rows.into_iter().map(|(_, _, value)| value).collect::<BTreeSet<_>>();
        let lost = encodings.difference(&stored).collect::<Vec<_>>();
        assert!(lost.is_empty(), "written otherwise than stored: {lost:?}");
    }
}

#[test]
fn the_snapshot_has_rows_in_each_table() {
    for level in (Level::FIRST.0..=Level::NEWEST.0).map(Level) {
        let (rows, _) = parse(&fs::read_to_string(path(level)).unwrap());
        let found = rows.iter().map(|(table, ..)| table.as_str()).collect::<BTreeSet<_>>();
        let tables = Table::ALL.map(Table::name);
        assert_eq!(found, BTreeSet::from(tables), "level {level}");
    }
}
