//! Fuzz tests of the file of unconfirmed results.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cluster_fuzz::{Fuzz, Memory, mutated};
use cluster_state::{AttemptOutcome, FinishedAttempt, LossReason};
use proptest::prelude::*;
use proptest::sample::select;

use crate::disk::Disk;
use crate::ledger::attempt_ref;
use crate::spool::results_file::{DAMAGED_FILE, Entry, FILE, ResultsFile, decode, encode};

/// A list of entries is written as JSON, an entry of which takes some seventy bytes, and more in
/// memory only for lists of nothing but numbers, as which entries are not read.
const MEMORY: Memory = Memory { per_byte: 32, fixed: 64 << 10 };

fn result() -> impl Strategy<Value = FinishedAttempt> {
    let text = || "[a-z\n\"ä]{0,20}";
    let outcome = prop_oneof![
        any::<i32>().prop_map(|code| AttemptOutcome::Exited { code }),
        any::<i32>().prop_map(|signal| AttemptOutcome::Signaled { signal }),
        text().prop_map(|detail| AttemptOutcome::StartFailed { detail }),
        text().prop_map(|detail| AttemptOutcome::WorkerUnfit { detail }),
        Just(AttemptOutcome::Lost(LossReason::LeaseExpired)),
    ];
    (1..6_u64, 1..3_u32, outcome).prop_map(|(task, attempt, outcome)| FinishedAttempt {
        attempt: attempt_ref(task, attempt),
        outcome,
        report: None,
    })
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let entry = (result(), any::<bool>()).prop_map(|(result, is_confirmed)| match is_confirmed {
        true => Entry::Confirmed(result.attempt),
        false => Entry::Finished(result),
    });
    proptest::collection::vec(entry, 0..4).prop_map(|entries| encode(&entries).unwrap())
}

#[test]
fn a_line_is_read_as_written_or_not_at_all() {
    let json = mutated(line().prop_map(|line| line[9..line.len() - 1].to_vec()));
    Fuzz::of("lines of results").run((mutated(line()), json), |(line, json)| {
        let checksum = format!("{:08x} ", crc32fast::hash(&json));
        let checked = [checksum.as_bytes(), &json, b"\n"].concat();
        for line in [line, checked] {
            let Some(entries) = MEMORY.hold(&line, decode) else { continue };
            assert_eq!(decode(&encode(&entries).unwrap()), Some(entries));
        }
    });
}

/// Returns files of several lines, and all results in them.
fn files(dir: &Path) -> (Vec<Vec<u8>>, Vec<FinishedAttempt>) {
    let result = |task: u64| FinishedAttempt {
        attempt: attempt_ref(task, 1),
        outcome: AttemptOutcome::StartFailed { detail: format!("no such file: {task}") },
        report: None,
    };
    let results = (1..9).map(result).collect::<Vec<_>>();
    let mut file = open(dir).unwrap();
    let mut files = Vec::new();
    for (position, result) in results.iter().enumerate() {
        let mut entries = vec![Entry::Finished(result.clone())];
        entries.extend((position == 4).then(|| Entry::Confirmed(results[1].attempt)));
        file.append(entries, false).unwrap();
        files.push(fs::read(dir.join(FILE)).unwrap());
    }
    (files, results)
}

fn open(dir: &Path) -> std::io::Result<ResultsFile> {
    ResultsFile::open(dir, Arc::new(Disk::open(dir, 0)))
}

#[test]
fn a_damaged_spool_gives_what_was_written_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (files, results) = files(dir.path());
    Fuzz::of("files of results").at_most(32).run(mutated(select(files)), |bytes| {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        fs::write(dir.path().join(FILE), &bytes).unwrap();

        let read = open(dir.path()).unwrap().live().collect::<Vec<_>>();

        assert!(read.iter().all(|result| results.contains(result)), "{read:?}");
        let damaged = fs::read(dir.path().join(DAMAGED_FILE)).unwrap_or_default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_kept = damaged.windows(line.len()).any(|kept| kept == line);
            assert!(decode(line).is_some() || is_kept, "{line:?} is lost");
        }
        let again = open(dir.path()).unwrap().live().collect::<Vec<_>>();
        assert_eq!(again, read);
        let kept = fs::read(dir.path().join(DAMAGED_FILE)).unwrap_or_default();
        assert_eq!(kept, damaged, "it is put aside once");
    });
}
