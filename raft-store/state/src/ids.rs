//! Ids and numbers, each with a newtype so that none is taken for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest worker id in bytes: a DNS name fits (RFC 1035 allows 253).
const WORKER_ID_BYTES_MAX: usize = 253;

/// Longest token id in bytes.
const TOKEN_ID_BYTES_MAX: usize = 64;

/// Longest text that an error repeats: an id of any kind, and a little more.
const SHOWN_BYTES_MAX: usize = 300;

/// A text that is not the id that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A task id is `t` and a decimal number.
    #[error("'{0}' is not a task id: expected t followed by a number, as in t17")]
    Task(String),
    /// A worker id is used in paths, labels and file names.
    #[error(
        "'{0}' is not a worker id: expected 1 to 253 letters, digits, '.', '_' or '-', starting with a letter or digit"
    )]
    Worker(String),
    /// An id of an orphaned result is `o` and a decimal number.
    #[error(
        "'{0}' is not the id of an orphaned result: expected o followed by a number, as in o17"
    )]
    Orphan(String),
    /// A job id is `j` and a decimal number.
    #[error("'{0}' is not a job id: expected j followed by a number, as in j17")]
    Job(String),
    /// A token id is used in paths.
    #[error("'{0}' is not a token id: expected 1 to 64 lower-case letters, digits or '-'")]
    Token(String),
    /// A user's name is used in logs and in records.
    #[error(
        "'{0}' is not a user's name: expected 1 to 64 letters, digits, '.', '_', '-', '@' or '+', starting with a letter or digit"
    )]
    User(String),
    /// A schedule's name is used in paths and labels.
    #[error(
        "'{0}' is not the name of a schedule: expected 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"
    )]
    Schedule(String),
    /// A queue's name is used in paths and as a label of metrics.
    #[error(
        "'{0}' is not the name of a queue: expected 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"
    )]
    Queue(String),
    /// A concurrency key is shown in tables.
    #[error(
        "'{0}' is not a concurrency key: expected 1 to 256 bytes without control characters, and no space at either end"
    )]
    ConcurrencyKey(String),
    /// A holder of certificates is its role and its name.
    #[error(
        "'{0}' is not a holder of certificates: expected ROLE/NAME, as in worker/w1; roles are master, worker, viewer, submitter, operator and admin"
    )]
    Holder(String),
    /// Cluster ids and incarnations are UUIDs.
    #[error("'{0}' is not a UUID")]
    Uuid(String),
}

impl InvalidId {
    /// Says that a text is not the name of a user.
    pub(crate) fn user(text: &str) -> Self {
        Self::User(shown(text))
    }

    /// Says that a text is not the name of a schedule.
    pub(crate) fn schedule(text: &str) -> Self {
        Self::Schedule(shown(text))
    }

    /// Says that a text is not a holder of certificates.
    pub(crate) fn holder(text: &str) -> Self {
        Self::Holder(shown(text))
    }
}

/// Returns the beginning of an invalid id, which comes from outside and may be a message long.
pub(crate) fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// Returns the number after this one; stays at the largest.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// Id of a task, in the order of submission: `t1`, `t2`, …
    TaskId(u64), "t"
);
number!(
    /// Id of an orphaned result, in the order in which they were found: `o1`, `o2`, …
    OrphanId(u64), "o"
);
number!(
    /// Id of a job: the log position of its order, as in `j4711`.
    JobId(u64), "j"
);
number!(
    /// Number of an attempt of a task, counted from 1 and never reused: its fencing token.
    AttemptNumber(u32), "#"
);
number!(
    /// Number of a worker's registration, which fences messages of older registrations.
    Epoch(u64), "e"
);
number!(
    /// Number of a start of a worker's process, counted in its data directory.
    StartNumber(u64), "start "
);
number!(
    /// Number of an election.
    Term(u64), ""
);
number!(
    /// Position in the replicated log.
    LogIndex(u64), ""
);
number!(
    /// Id of a master: Raft's node id.
    MasterId(u64), ""
);

/// Reference to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptRef {
    /// The task.
    pub task: TaskId,
    /// The number of the placement.
    pub attempt: AttemptNumber,
}

impl FromStr for TaskId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        numbered(text, 't').map(Self).ok_or_else(|| InvalidId::Task(shown(text)))
    }
}

impl FromStr for OrphanId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        numbered(text, 'o').map(Self).ok_or_else(|| InvalidId::Orphan(shown(text)))
    }
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        numbered(text, 'j').map(Self).ok_or_else(|| InvalidId::Job(shown(text)))
    }
}

/// Returns the number after the letter.
fn numbered(text: &str, letter: char) -> Option<u64> {
    let digits = text.strip_prefix(letter)?;
    // `parse` would take a sign and leading zeros: nothing must have two names.
    let is_canonical = !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| is_canonical)
}

/// Name of a worker, which its operator chose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct WorkerId(Arc<str>);

impl Serialize for WorkerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl WorkerId {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_valid = text.len() <= WORKER_ID_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(is_word);
        if !is_valid {
            return Err(InvalidId::Worker(shown(text)));
        }
        Ok(Self(text.into()))
    }
}

/// Public name of a join token; its secret is not stored anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(Arc<str>);

impl TokenId {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_valid = (1..=TOKEN_ID_BYTES_MAX).contains(&text.len()) && text.chars().all(is_word);
        if !is_valid {
            return Err(InvalidId::Token(shown(text)));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TokenId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.as_str().to_owned()
    }
}

impl TryFrom<String> for WorkerId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<WorkerId> for String {
    fn from(id: WorkerId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).map(Self).ok_or_else(|| InvalidId::Uuid(shown(text)))
            }
        }
    };
}

uuid!(
    /// Id of a cluster, fixed at bootstrap and checked on every RPC between any two processes.
    ClusterId
);
uuid!(
    /// Id of one start of a worker's process, drawn at random.
    Incarnation
);
uuid!(
    /// Id of a worker's data directory, drawn at random when the directory is made.
    DataId
);

fn write_uuid(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hex = format!("{value:032x}");
    let mut rest = hex.as_str();
    for (group, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        let (head, tail) = rest.split_at(len);
        rest = tail;
        if group > 0 {
            f.write_str("-")?;
        }
        f.write_str(head)?;
    }
    Ok(())
}

fn parse_uuid(text: &str) -> Option<u128> {
    let groups = text.split('-').map(str::len).collect::<Vec<_>>();
    // `from_str_radix` would take a sign in place of the first digit.
    if groups != [8, 4, 4, 4, 12] || text.starts_with('+') {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_has_one_spelling() {
        assert_eq!("t17".parse(), Ok(TaskId(17)));
        assert_eq!(TaskId(17).to_string(), "t17");
        for text in ["17", "t", "t017", "t+17", "T17", "t17 ", "t99999999999999999999"] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_orphan_id_is_no_task_id() {
        assert_eq!(OrphanId(17).to_string().parse(), Ok(OrphanId(17)));
        for text in ["t17", "17", "o", "o017", "o+17"] {
            assert!(text.parse::<OrphanId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_worker_id_is_safe_in_paths_and_labels() {
        assert!("worker-1.rack_2".parse::<WorkerId>().is_ok());
        for text in ["", "..", "a/b", "-x", ".hidden", "a b", "ä", &"x".repeat(254)] {
            assert!(text.parse::<WorkerId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_uuid_reads_back_as_written() {
        let id = ClusterId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "0123456789abcdef0123456789abcdef",
            "+1234567-89ab-cdef-0123-456789abcdef",
            "0123456g-89ab-cdef-0123-456789abcdef",
            "01234567-89ab-cdef-0123-456789abcde-",
        ] {
            assert!(text.parse::<ClusterId>().is_err(), "{text}");
        }
    }
}
