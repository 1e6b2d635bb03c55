//! Storage schema: every column family, its key bytes and its value.
//!
//! Numbers in keys are big-endian, so that RocksDB's byte order is the order of the numbers.

use cluster_state::{
    HolderId, JobId, LogIndex, OrphanId, QueueName, ScheduleName, TaskId, Term, Timestamp, TokenId,
};

use crate::codec::CodecError;

/// Column families of the log instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogTable {
    /// Key: [`LogIndex`], 8 bytes. Value: an encoded entry, see [`crate::codec`].
    Entries,
    /// Key: [`LogRecord`], 1 byte. Value: as the record says.
    Records,
    /// Sizes of the entries. Key: [`LogIndex`] of a block's last entry, 8 bytes. Value: `Block`.
    Blocks,
}

impl LogTable {
    pub(crate) const ALL: [Self; 3] = [Self::Entries, Self::Records, Self::Blocks];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Records => "records",
            Self::Blocks => "blocks",
        }
    }
}

/// Single records of the log instance, by their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LogRecord {
    /// Owner of the log. Value: [`crate::identity::Identity`].
    Identity = 1,
    /// Vote of the node. Value: [`crate::types::Vote`] as JSON.
    Vote = 2,
    /// Last entry known to be committed. Value: [`crate::types::LogId`] as JSON.
    Committed = 3,
    /// Last purged entry. Value: [`crate::types::LogId`] as JSON.
    Purged = 4,
}

impl LogRecord {
    pub(crate) const fn key(self) -> [u8; 1] {
        match self {
            Self::Identity => [1],
            Self::Vote => [2],
            Self::Committed => [3],
            Self::Purged => [4],
        }
    }
}

/// Column families of the state instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Single records, and ranges of records that are no tables of their own. Key: [`StateRecord`], 1
    /// byte, and in a range what it says. Value: as it says.
    Records,
    /// Key: [`Term`], 8 bytes. Value: `LeaderRecord`.
    Leaders,
    /// Key: worker id, UTF-8. Value: `Worker`.
    Workers,
    /// Live tasks. Key: [`TaskId`], 8 bytes. Value: `Task`.
    Tasks,
    /// Finished tasks. Key: [`TaskId`], 8 bytes. Value: `Task`.
    History,
    /// Finished tasks by the time of their end, for retention. Key: [`FinishKey`], 16 bytes. Value:
    /// empty.
    HistoryByFinish,
    /// Key: the client's text, UTF-8. Value: `IdempotencyRecord`.
    Idempotency,
    /// Unregistered workers that have to be told. Key: worker id, UTF-8. Value: `Departed`.
    Departed,
    /// Key: token id, UTF-8. Value: `JoinToken`.
    Tokens,
}

impl Table {
    pub(crate) const ALL: [Self; 9] = [
        Self::Records,
        Self::Leaders,
        Self::Workers,
        Self::Tasks,
        Self::History,
        Self::HistoryByFinish,
        Self::Idempotency,
        Self::Departed,
        Self::Tokens,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Leaders => "leaders",
            Self::Workers => "workers",
            Self::Tasks => "tasks",
            Self::History => "history",
            Self::HistoryByFinish => "history_by_finish",
            Self::Idempotency => "idempotency",
            Self::Departed => "departed",
            Self::Tokens => "tokens",
        }
    }
}

/// Contents of the table of single records, by the first byte of the key: a record whose key is that
/// byte alone, or a range of records, whose keys go on.
///
/// A table that a release adds is a range here. A column family would be in the way of the release
/// before, which a master may go back to until the level has risen. As all first bytes are values of
/// one enum, no two can be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StateRecord {
    /// Last applied entry. Value: [`crate::types::LogId`] as JSON.
    Applied = 1,
    /// Last applied membership. Value: [`crate::types::StoredMembership`] as JSON.
    Membership = 2,
    /// Counters and log time. Value: `Meta`.
    Meta = 3,
    /// Mass-loss alarm, if it is raised. Value: `MassLoss`.
    MassLoss = 4,
    /// Settings of the cluster, from level 2 on. Value: `SettingsRecord`.
    Settings = 5,
    /// Range of orphaned results, from level 2 on. Key: [`orphan_key`]. Value: `Orphan`.
    Orphans = 6,
    /// Range of tokens of users, from level 2 on. Key: [`user_token_key`]. Value: `UserToken`.
    UserTokens = 32,
    /// Issuer of certificates, from level 2 on. Value: `IssuerRecord`.
    Issuer = 40,
    /// Range of holders of certificates, from level 2 on. Key: [`holder_key`]. Value: `HolderRecord`.
    Holders = 41,
    /// Range of the trail of orders, from level 2 on. Key: [`audit_key`]. Value: `AuditRecord`.
    Trail = 42,
    /// Range of jobs, from level 2 on. Key: [`job_key`]. Value: `Job`.
    Jobs = 52,
    /// Range of schedules, from level 2 on. Key: [`schedule_key`]. Value: `Schedule`.
    Schedules = 50,
    /// Range of named queues, from level 2 on. Key: [`queue_key`]. Value: `Queue`.
    Queues = 53,
    /// Range of ends that are still to be passed on, from level 2 on. Key: [`cascade_key`]. Value: `Cascade`.
    Cascades = 62,
}

impl StateRecord {
    /// Returns the first byte of the key, which is the whole key of a single record.
    pub(crate) const fn key(self) -> [u8; 1] {
        [self as u8]
    }

    fn with_text(self, text: &str) -> Vec<u8> {
        [&self.key(), text.as_bytes()].concat()
    }

    const fn with_number(self, number: u64) -> [u8; 9] {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        [self as u8, a, b, c, d, e, f, g, h]
    }
}

/// Returns the key of a user's token: its range, and its id, UTF-8.
pub(crate) fn user_token_key(id: &TokenId) -> Vec<u8> {
    StateRecord::UserTokens.with_text(id.as_str())
}

/// Returns the key of a holder of certificates: its range, and its id, UTF-8.
pub(crate) fn holder_key(id: &HolderId) -> Vec<u8> {
    StateRecord::Holders.with_text(id.as_str())
}

/// Returns the key of a schedule: its range, and its name, UTF-8.
pub(crate) fn schedule_key(name: &ScheduleName) -> Vec<u8> {
    StateRecord::Schedules.with_text(name.as_str())
}

/// Returns the key of a named queue: its range, and its name, UTF-8.
pub(crate) fn queue_key(name: &QueueName) -> Vec<u8> {
    StateRecord::Queues.with_text(name.as_str())
}

/// Returns the key of a record of the trail: its range, and its log position, 8 bytes.
pub(crate) const fn audit_key(index: LogIndex) -> [u8; 9] {
    StateRecord::Trail.with_number(index.0)
}

/// Returns the key of an end that is still to be passed on: its range, and the task's id, 8 bytes.
pub(crate) const fn cascade_key(task: TaskId) -> [u8; 9] {
    StateRecord::Cascades.with_number(task.0)
}

/// Returns the key of an orphaned result: its range, and its id, 8 bytes.
pub(crate) const fn orphan_key(id: OrphanId) -> [u8; 9] {
    StateRecord::Orphans.with_number(id.0)
}

/// Returns the key of a job: its range, and its id, 8 bytes.
pub(crate) const fn job_key(id: JobId) -> [u8; 9] {
    StateRecord::Jobs.with_number(id.0)
}

/// A key that is one number.
pub(crate) trait NumberKey: Sized {
    fn from_number(number: u64) -> Self;
    fn number(self) -> u64;

    fn key(self) -> [u8; 8] {
        self.number().to_be_bytes()
    }

    fn from_key(bytes: &[u8]) -> Result<Self, CodecError> {
        let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| CodecError::Key)?;
        Ok(Self::from_number(u64::from_be_bytes(bytes)))
    }
}

macro_rules! number_key {
    ($name:ident) => {
        impl NumberKey for $name {
            fn from_number(number: u64) -> Self {
                Self(number)
            }

            fn number(self) -> u64 {
                self.0
            }
        }
    };
}

number_key!(LogIndex);
number_key!(TaskId);
number_key!(Term);

/// Time of a task's end, and its id: 8 bytes of milliseconds, 8 bytes of id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FinishKey {
    pub(crate) at: Timestamp,
    pub(crate) task: TaskId,
}

impl FinishKey {
    pub(crate) fn key(self) -> [u8; 16] {
        (u128::from(self.at.0) << 64 | u128::from(self.task.0)).to_be_bytes()
    }

    pub(crate) fn from_key(bytes: &[u8]) -> Result<Self, CodecError> {
        let (at, task) = bytes.split_first_chunk::<8>().ok_or(CodecError::Key)?;
        Ok(Self { at: Timestamp(u64::from_be_bytes(*at)), task: TaskId::from_key(task)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<K: NumberKey + Copy + Ord + std::fmt::Debug>(left: K, right: K) {
        assert_eq!(K::from_key(&left.key()).unwrap(), left);
        assert_eq!(left.key().cmp(&right.key()), left.cmp(&right));
    }

    proptest! {
        #[test]
        fn number_keys_return_and_sort_as_numbers(left: u64, right: u64) {
            check(LogIndex(left), LogIndex(right));
            check(TaskId(left), TaskId(right));
            check(Term(left), Term(right));
        }

        #[test]
        fn finish_keys_return_and_sort_by_time(at: (u64, u64), task: (u64, u64)) {
            let left = FinishKey { at: Timestamp(at.0), task: TaskId(task.0) };
            let right = FinishKey { at: Timestamp(at.1), task: TaskId(task.1) };

            prop_assert_eq!(FinishKey::from_key(&left.key()).unwrap(), left);
            prop_assert_eq!(left.key().cmp(&right.key()), left.cmp(&right));
        }

        #[test]
        fn keys_of_another_length_are_refused(bytes: Vec<u8>) {
            prop_assume!(bytes.len() != 8 && bytes.len() != 16);
            prop_assert!(TaskId::from_key(&bytes).is_err());
            prop_assert!(FinishKey::from_key(&bytes).is_err());
        }
    }

    #[test]
    fn orphans_lie_in_order_behind_the_single_records() {
        assert_eq!(orphan_key(OrphanId(0x0102)), [6, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert!(StateRecord::Settings.key().as_slice() < orphan_key(OrphanId(0)).as_slice());
        assert!(orphan_key(OrphanId(9)) < orphan_key(OrphanId(256)));
    }

    #[test]
    fn record_keys_are_their_pinned_numbers() {
        for record in
            [LogRecord::Identity, LogRecord::Vote, LogRecord::Committed, LogRecord::Purged]
        {
            assert_eq!(record.key(), [record as u8]);
        }
    }
}
