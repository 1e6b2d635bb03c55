//! Fuzz tests of the identity file.

use std::fs;
use std::path::Path;

use cluster_fuzz::{Fuzz, mutated};
use cluster_state::{ClusterId, StartNumber, Term};
use proptest::sample::select;

use crate::identity::slots::{Record, Slots};

/// Returns the file after each of some writes, and the records that were written.
fn files(dir: &Path) -> (Vec<Vec<u8>>, Vec<Record>) {
    let path = dir.join("identity");
    let (mut slots, _) = Slots::open(&path).unwrap();
    let record = |number: u64| Record {
        cluster_id: (number > 1).then(|| ClusterId(7).to_string()),
        data_id: ClusterId(8).to_string(),
        starts: StartNumber(number),
        incarnation: ClusterId(u128::from(number)).to_string(),
        term: Term(number * 1_000),
        masters: (0..number).map(|master| format!("10.0.0.{master}:50051")).collect(),
        ..Record::of("worker-1".parse().unwrap())
    };
    let records = (1..7).map(record).collect::<Vec<_>>();
    let write = |record: &Record| {
        slots.write(record).unwrap();
        fs::read(&path).unwrap()
    };
    (records.iter().map(write).collect(), records)
}

#[test]
fn a_damaged_identity_is_refused_or_one_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let (files, records) = files(dir.path());
    let path = dir.path().join("damaged");
    Fuzz::of("identity files").run(mutated(select(files)), |bytes| {
        fs::write(&path, &bytes).unwrap();
        if let Ok((_, read)) = Slots::open(&path) {
            let read = read.unwrap();
            assert!(records.contains(&read), "{read:?} was never written");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "reading changes nothing");
    });
}
