//! The corpus: encodings of each released level, which every later release reads as they were meant.
//!
//! `corpus/level-N.txt` has one encoding a line, in hexadecimal, and below it its reading. What was
//! written never changes. A type that gains a field changes the readings of its older encodings:
//! `UPDATE_CORPUS=1` writes them anew, for a human to compare, and writes the first encodings of a
//! new level. Until that level is released its file is removed and written again when a type gains a
//! field or is added.

mod messages;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::fs;
use std::path::PathBuf;

use cluster_state::{
    AdoptIssuer, AdvanceJob, AdvanceSchedules, AssignAhead, AuditRecord, Cascade, CreateUserToken,
    DeleteQueue, Departed, DropOrphans, HoldAttempts, HolderRecord, IdempotencyRecord,
    IssuerRecord, Job, JoinToken, LeaderRecord, Level, LogIndex, MassLoss, Meta, NoteOrder, Orphan,
    PruneTrail, PutQueue, PutSchedule, Queue, RetryTask, RevokeUserToken, RotateAuthority,
    Schedule, SettingsRecord, StartJob, State, SubmitGraph, Task, TaskEnd, TaskId, UserToken,
    Worker,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::proposals::{Past, log};
use super::records::records;
use crate::codec::{
    CodecError, ORDERED_TYPE, Versioned, decode, decode_command, encode, encode_command,
};
use crate::guard::{self, Slot};
use crate::identity::Identity;
use crate::log_store::{Block, Volume};
use crate::propose::Verdict;

/// Samples of each type that a new level gets.
const SAMPLES: usize = 4;
/// Logs that the samples are taken from: the rarest command comes in one of twenty.
const LOGS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Command,
    Record,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Record => "record",
        }
    }

    /// Decodes an encoding of a cluster of that level. Returns its reading, and its encoding.
    fn read(self, bytes: &[u8], level: Level) -> Result<(String, Vec<u8>), CodecError> {
        match self {
            Self::Command => {
                let command = decode_command(bytes)?;
                Ok((format!("{command:?}"), encode_command(&command, level)?.to_vec()))
            }
            Self::Record => read_record(bytes, level),
        }
    }
}

fn read_record(bytes: &[u8], level: Level) -> Result<(String, Vec<u8>), CodecError> {
    fn read<T: Versioned + Debug>(
        bytes: &[u8],
        level: Level,
    ) -> Result<(String, Vec<u8>), CodecError> {
        let record = decode::<T>(bytes)?;
        Ok((format!("{record:?}"), encode(&record, level)?))
    }

    let found = bytes.first().copied().ok_or(CodecError::Short)?;
    match found {
        Meta::TYPE => read::<Meta>(bytes, level),
        LeaderRecord::TYPE => read::<LeaderRecord>(bytes, level),
        Worker::TYPE => read::<Worker>(bytes, level),
        Task::TYPE => read::<Task>(bytes, level),
        IdempotencyRecord::TYPE => read::<IdempotencyRecord>(bytes, level),
        Departed::TYPE => read::<Departed>(bytes, level),
        JoinToken::TYPE => read::<JoinToken>(bytes, level),
        MassLoss::TYPE => read::<MassLoss>(bytes, level),
        Identity::TYPE => read::<Identity>(bytes, level),
        Block::TYPE => read::<Block>(bytes, level),
        Verdict::TYPE => read::<Verdict>(bytes, level),
        Slot::TYPE => read::<Slot>(bytes, level),
        Orphan::TYPE => read::<Orphan>(bytes, level),
        AuditRecord::TYPE => read::<AuditRecord>(bytes, level),
        SettingsRecord::TYPE => read::<SettingsRecord>(bytes, level),
        UserToken::TYPE => read::<UserToken>(bytes, level),
        IssuerRecord::TYPE => read::<IssuerRecord>(bytes, level),
        HolderRecord::TYPE => read::<HolderRecord>(bytes, level),
        Job::TYPE => read::<Job>(bytes, level),
        Schedule::TYPE => read::<Schedule>(bytes, level),
        Queue::TYPE => read::<Queue>(bytes, level),
        Cascade::TYPE => read::<Cascade>(bytes, level),
        _ => Err(CodecError::OtherType { found, expected: 0 }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

type Samples = Vec<(Kind, Vec<u8>)>;

/// Takes samples of each type, the same in every run.
fn samples() -> Samples {
    let mut runner = TestRunner::deterministic();
    let mut taken = BTreeMap::<(Kind, u8), BTreeSet<Vec<u8>>>::new();
    let mut take = |kind, bytes: Vec<u8>| {
        let of_type = taken.entry((kind, bytes[0])).or_default();
        if of_type.len() < SAMPLES {
            of_type.insert(bytes);
        }
    };
    for _ in 0..LOGS {
        let (start, steps) = log().new_tree(&mut runner).unwrap().current();
        let mut state = State::new();
        state.restore(start.clone());
        for (step, index) in steps.iter().cloned().zip(1..) {
            let proposal = step.proposal(&state, &Past::default());
            take(Kind::Command, encode_command(&proposal.command, Level::NEWEST).unwrap().to_vec());
            state.apply(LogIndex(index), proposal);
        }
        records(start, steps).into_iter().for_each(|record| take(Kind::Record, record));
    }
    let block = Volume::default().append(7, 2 << 20).unwrap();
    take(Kind::Record, encode(&block, Level::NEWEST).unwrap());
    take(Kind::Record, encode(&guard::tests::slot(), Level::NEWEST).unwrap());
    // A command has to end more tasks than a log of this length has.
    let cascade = Cascade { task: TaskId(7), end: TaskEnd::Failed };
    take(Kind::Record, encode(&cascade, Level::NEWEST).unwrap());
    let all = taken.into_iter();
    all.flat_map(|((kind, _), bytes)| bytes.into_iter().map(move |bytes| (kind, bytes))).collect()
}

fn path(level: Level) -> PathBuf {
    let name = format!("corpus/level-{level}.txt");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Parses a file: the encodings in their order, with their readings.
fn parse(text: &str) -> Vec<(Kind, Vec<u8>, String)> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut parsed = Vec::new();
    while let (Some(line), Some(reading)) = (lines.next(), lines.next()) {
        let (kind, hex) = line.split_once(' ').unwrap();
        let kind = match kind {
            "command" => Kind::Command,
            "record" => Kind::Record,
            other => panic!("a {other} in the corpus"),
        };
        parsed.push((kind, unhex(hex), reading.trim().to_owned()));
    }
    parsed
}

fn render(level: Level, samples: &Samples) -> String {
    let mut text = format!("# Encodings of feature level {level}, and their readings.\n");
    for (kind, bytes) in samples {
        let (reading, _) = kind.read(bytes, level).unwrap();
        writeln!(text, "\n{} {}\n  {reading}", kind.name(), hex(bytes)).unwrap();
    }
    text
}

#[test]
fn whatever_a_release_has_written_is_read_as_it_was_meant() {
    for level in (Level::FIRST.0..=Level::NEWEST.0).map(Level) {
        let path = path(level);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            let known = fs::read_to_string(&path).map(|text| parse(&text));
            let kept = known.map(|known| known.into_iter().map(|(kind, bytes, _)| (kind, bytes)));
            let samples = kept.map_or_else(|_| samples(), Iterator::collect);
            fs::write(&path, render(level, &samples)).unwrap();
        }
        let corpus = parse(&fs::read_to_string(&path).unwrap());
        assert!(!corpus.is_empty(), "{} is empty", path.display());
        for (kind, bytes, reading) in corpus {
            let read = kind.read(&bytes, level).unwrap();
            assert_eq!(read, (reading, bytes));
        }
    }
}

#[test]
fn every_type_that_this_release_writes_is_in_the_corpus() {
    let newest = parse(&fs::read_to_string(path(Level::NEWEST)).unwrap());
    let found = newest.iter().map(|(kind, bytes, _)| (*kind, bytes[0])).collect::<BTreeSet<_>>();
    let written = samples().iter().map(|(kind, bytes)| (*kind, bytes[0])).collect();
    let missing = BTreeSet::difference(&written, &found).collect::<Vec<_>>();
    assert!(missing.is_empty(), "not in the corpus: {missing:?}");

    let users = [CreateUserToken::TYPE, RevokeUserToken::TYPE];
    let certificates = AdoptIssuer::TYPE..=RotateAuthority::TYPE;
    let orders = [ORDERED_TYPE, NoteOrder::TYPE, PruneTrail::TYPE, RetryTask::TYPE];
    let jobs = [StartJob::TYPE, AdvanceJob::TYPE];
    let ahead = [AssignAhead::TYPE, HoldAttempts::TYPE];
    let commands = (1..=DropOrphans::TYPE).chain(users).chain(certificates);
    let commands = commands.chain(orders).chain(ahead).chain(jobs);
    let schedules = PutSchedule::TYPE..=AdvanceSchedules::TYPE;
    let queues = PutQueue::TYPE..=DeleteQueue::TYPE;
    let commands = commands.chain(schedules).chain(queues).chain([SubmitGraph::TYPE]);
    let records = [UserToken::TYPE, IssuerRecord::TYPE, HolderRecord::TYPE, AuditRecord::TYPE];
    let records = records.into_iter().chain([Job::TYPE]);
    let records = records.into_iter().chain([Schedule::TYPE, Queue::TYPE, Cascade::TYPE]);
    let types = (1..=Orphan::TYPE).chain(records).map(|kind| (Kind::Record, kind));
    let types = types.chain(commands.map(|kind| (Kind::Command, kind))).collect::<BTreeSet<_>>();
    assert_eq!(written, types, "the samples have one of each type");
}
