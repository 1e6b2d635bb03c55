//! Encodings of what is stored, logged and sent between masters.
//!
//! ```text
//! record    type (1 byte), level (1 byte), postcard
//! command   type (1 byte), level (1 byte), postcard
//! proposal  a command with the leader's stamp (a varint) after its level
//! order     type, level, the actor in postcard, and the command that is ordered
//! entry     see `entry`
//! ```
//!
//! The type is never used for anything else. The level is the one that introduced the encoding: see
//! [`Level`]. Postcard writes fields in order and without names, so a type that gains a field has a
//! new encoding, and reads the earlier ones by [`Versioned::read_earlier`].

mod command;
mod entry;
mod level_2;

use std::sync::Arc;

use cluster_state::{
    Departed, IdempotencyRecord, JoinToken, LeaderRecord, Level, MassLoss, Record, Worker,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(test)]
pub(crate) use self::command::ORDERED_TYPE;
pub(crate) use self::command::{decode_command, encode_command, stamp};
pub use self::command::{decode_proposal, encode_proposal};
pub(crate) use self::entry::{check_stored, decode_entry, decode_membership, encode_entry};

/// The format of openraft's records, which are JSON.
const JSON_FORMAT: u8 = 1;

/// Reason why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// There are too few bytes.
    #[error("record is cut short")]
    Short,
    /// A newer release wrote it.
    #[error("record needs feature level {found}, this release knows levels up to {known}")]
    NewerLevel {
        /// The level that it needs.
        found: Level,
        /// The highest level that this binary knows.
        known: Level,
    },
    /// No release has written it: its type had no encoding of its own at that level.
    #[error("record has an encoding of level {0}, which there is not")]
    NoSuchEncoding(Level),
    /// It is a record of another type.
    #[error("record has type {found}, not {expected}")]
    OtherType {
        /// The type that it says.
        found: u8,
        /// The expected type.
        expected: u8,
    },
    /// No release of a known level has commands of the type.
    #[error("command has unknown type {0}")]
    UnknownCommand(u8),
    /// openraft's record has a format that this binary does not know.
    #[error("record of Raft has unknown format {0}")]
    UnknownFormat(u8),
    /// The log has a kind of entry that this binary does not know.
    #[error("log entry has unknown kind {0}")]
    UnknownKind(u8),
    /// The encoding is known but the rest makes no sense.
    #[error("record is malformed")]
    Malformed(#[from] postcard::Error),
    /// The record is followed by bytes that do not belong to it.
    #[error("record is followed by {0} stray bytes")]
    Trailing(usize),
    /// A membership cannot be read.
    #[error("membership is malformed")]
    Membership(#[from] serde_json::Error),
    /// A membership does not say who decides, or where its voters are.
    #[error("membership has no voters, or voters without an address")]
    NoQuorum,
    /// A key has not the layout of its table.
    #[error("key is malformed")]
    Key,
}

impl CodecError {
    /// Returns the level that is needed, if that is why the bytes cannot be read.
    pub(crate) const fn needed_level(&self) -> Option<Level> {
        match self {
            Self::NewerLevel { found, .. } => Some(*found),
            Self::Short
            | Self::NoSuchEncoding(_)
            | Self::OtherType { .. }
            | Self::UnknownCommand(_)
            | Self::UnknownFormat(_)
            | Self::UnknownKind(_)
            | Self::Malformed(_)
            | Self::Trailing(_)
            | Self::Membership(_)
            | Self::NoQuorum
            | Self::Key => None,
        }
    }
}

/// A value that is stored, logged or sent under its type and level, so that it can gain fields.
pub(crate) trait Versioned: Serialize + DeserializeOwned {
    /// Number of the type among records or among commands; never given to another one.
    const TYPE: u8;
    /// Level that introduced the present encoding.
    const LEVEL: Level = Level::FIRST;

    /// Reads an encoding that an earlier level introduced.
    ///
    /// # Errors
    ///
    /// If there is none of that level, or the bytes are not it.
    fn read_earlier(level: Level, _body: &[u8]) -> Result<Self, CodecError> {
        Err(CodecError::NoSuchEncoding(level))
    }

    /// Appends the encoding of a cluster that has not reached [`Self::LEVEL`].
    ///
    /// # Errors
    ///
    /// If the value has no encoding of that level.
    fn write_earlier(&self, cluster: Level, _out: &mut Vec<u8>) -> Result<(), CodecError> {
        Err(CodecError::NoSuchEncoding(cluster))
    }
}

impl<T: Versioned> Versioned for Arc<T>
where
    Arc<T>: Serialize + DeserializeOwned,
{
    const TYPE: u8 = T::TYPE;
    const LEVEL: Level = T::LEVEL;

    fn read_earlier(level: Level, body: &[u8]) -> Result<Self, CodecError> {
        T::read_earlier(level, body).map(Self::new)
    }

    fn write_earlier(&self, cluster: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        T::write_earlier(self, cluster, out)
    }
}

/// Gives records their types. Those of the state are here and in [`level_2`]; 9 is [`crate::identity`]'s, 10 and 12 are of
/// the log, and 11 is a leader's verdict.
macro_rules! versioned {
    ($($record:ty = $number:literal,)*) => {
        $(impl $crate::codec::Versioned for $record {
            const TYPE: u8 = $number;
        })*
    };
}
pub(crate) use versioned;

versioned! {
    LeaderRecord = 2,
    Worker = 3,
    IdempotencyRecord = 5,
    Departed = 6,
    JoinToken = 7,
    MassLoss = 8,
}

/// Appends a record to `out`, as members of a cluster of that level read it, so that a batch can
/// reuse one buffer.
pub(crate) fn encode_into<T: Versioned>(
    record: &T,
    cluster: Level,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    out.push(T::TYPE);
    write_at(record, cluster, out)
}

/// Appends the level and the rest of a record, after its type.
fn write_at<T: Versioned>(record: &T, cluster: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
    if cluster < T::LEVEL {
        return record.write_earlier(cluster, out);
    }
    out.push(T::LEVEL.0);
    write_body(record, out)
}

/// Appends a record of the state in the same way.
pub(crate) fn encode_record(
    record: &Record,
    cluster: Level,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    match record {
        Record::Meta(record) => encode_into(record, cluster, out),
        Record::Leader(record) => encode_into(record, cluster, out),
        Record::Worker(record) => encode_into(record, cluster, out),
        Record::Task(record) => encode_into(record, cluster, out),
        Record::IdempotencyKey(record) => encode_into(record, cluster, out),
        Record::Departed(record) => encode_into(record, cluster, out),
        Record::Token(record) => encode_into(record, cluster, out),
        Record::MassLoss(record) => encode_into(record, cluster, out),
        Record::Settings(record) => encode_into(record, cluster, out),
        Record::UserToken(record) => encode_into(record, cluster, out),
        Record::Orphan(record) => encode_into(record, cluster, out),
        Record::Audit(record) => encode_into(record, cluster, out),
        Record::Issuer(record) => encode_into(record, cluster, out),
        Record::Holder(record) => encode_into(record, cluster, out),
        Record::Job(record) => encode_into(record, cluster, out),
        Record::Queue(record) => encode_into(record, cluster, out),
        Record::Schedule(record) => encode_into(record, cluster, out),
        Record::Cascade(record) => encode_into(record, cluster, out),
    }
}

pub(crate) fn encode<T: Versioned>(record: &T, cluster: Level) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(64);
    encode_into(record, cluster, &mut out)?;
    Ok(out)
}

pub(crate) fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (found, level, body) = split(bytes)?;
    if found != T::TYPE {
        return Err(CodecError::OtherType { found, expected: T::TYPE });
    }
    read_body(level, body)
}

/// Splits an encoding into its type, its level and the rest.
fn split(bytes: &[u8]) -> Result<(u8, Level, &[u8]), CodecError> {
    let &[kind, level, ref rest @ ..] = bytes else { return Err(CodecError::Short) };
    let found = Level(level);
    if found > Level::NEWEST {
        return Err(CodecError::NewerLevel { found, known: Level::NEWEST });
    }
    Ok((kind, found, rest))
}

fn read_body<T: Versioned>(level: Level, body: &[u8]) -> Result<T, CodecError> {
    if level < T::LEVEL {
        return T::read_earlier(level, body);
    }
    if level > T::LEVEL {
        return Err(CodecError::NoSuchEncoding(level));
    }
    let (record, rest) = postcard::take_from_bytes(body)?;
    if rest.is_empty() { Ok(record) } else { Err(CodecError::Trailing(rest.len())) }
}

pub(crate) fn write_body<T: Serialize>(record: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let buffer = std::mem::take(out);
    *out = postcard::to_extend(record, buffer)?;
    Ok(())
}

/// Encodes a record of openraft's. As JSON, which names its fields, because openraft may change
/// their order.
pub(crate) fn encode_json<T: Serialize>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![JSON_FORMAT];
    serde_json::to_writer(&mut out, record)?;
    Ok(out)
}

pub(crate) fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (&format, json) = bytes.split_first().ok_or(CodecError::Short)?;
    if format != JSON_FORMAT {
        return Err(CodecError::UnknownFormat(format));
    }
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, MasterId, Term, Timestamp};

    use super::*;

    fn leader() -> LeaderRecord {
        let (term, leader) = (Term(3), MasterId(1));
        LeaderRecord { term, leader, since: Timestamp(7), index: LogIndex(9) }
    }

    fn refusal(bytes: &[u8]) -> String {
        decode::<LeaderRecord>(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_record_says_its_type_and_its_level() {
        let written = encode(&leader(), Level::NEWEST).unwrap();
        assert_eq!(written, [2, 1, 3, 1, 7, 9]);
        assert_eq!(decode::<LeaderRecord>(&written).unwrap(), leader());
    }

    #[test]
    fn a_record_of_a_newer_level_names_it() {
        assert_eq!(
            refusal(&[2, 9, 3, 1, 7, 9]),
            "record needs feature level 9, this release knows levels up to 2"
        );
    }

    #[test]
    fn what_no_release_has_written_is_refused() {
        assert_eq!(refusal(&[2, 0, 3]), "record has an encoding of level 0, which there is not");
        assert_eq!(refusal(&[3, 1, 3, 1, 7, 9]), "record has type 3, not 2");
        assert_eq!(refusal(&[2, 1, 3, 1, 7, 9, 0]), "record is followed by 1 stray bytes");
        assert_eq!(refusal(&[2]), "record is cut short");
    }

    /// A type as a later release may have it: two fields at first, one more since level 2.
    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Grown {
        name: String,
        size: u64,
        color: Option<String>,
    }

    #[derive(Serialize, serde::Deserialize)]
    struct GrownAtFirst {
        name: String,
        size: u64,
    }

    impl Versioned for Grown {
        const TYPE: u8 = 200;
        const LEVEL: Level = Level(2);

        fn read_earlier(_: Level, body: &[u8]) -> Result<Self, CodecError> {
            let GrownAtFirst { name, size } = postcard::from_bytes(body)?;
            Ok(Self { name, size, color: None })
        }

        fn write_earlier(&self, _: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
            out.push(Level::FIRST.0);
            write_body(&GrownAtFirst { name: self.name.clone(), size: self.size }, out)
        }
    }

    #[test]
    fn a_type_that_has_grown_is_read_and_written_as_it_was() {
        let grown = Grown { name: "a".to_owned(), size: 5, color: None };
        let early = encode(&grown, Level::FIRST).unwrap();
        assert_eq!(early, [200, 1, 1, b'a', 5]);
        assert_eq!(decode::<Grown>(&early).unwrap(), grown);
        assert_eq!(encode(&grown, Level(2)).unwrap(), [200, 2, 1, b'a', 5, 0]);
        assert_eq!(encode(&grown, Level(3)).unwrap(), [200, 2, 1, b'a', 5, 0]);
    }
}
