//! Named queues: the share of tasks in the fleet, and bounds on those of them that run at once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::shown;
use crate::{InvalidId, Level, LogIndex, Timestamp};

/// Longest name of a queue in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest concurrency key in bytes: a URL or a path fits.
const KEY_BYTES_MAX: usize = 256;
/// Name of the queue that always exists.
const DEFAULT_NAME: &str = "default";

/// Name of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(
    /// None is the queue that always exists: most tasks are there.
    Option<Arc<str>>,
);

impl QueueName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(DEFAULT_NAME)
    }

    /// Returns whether it is the queue that always exists.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.0.is_none()
    }
}

impl FromStr for QueueName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == DEFAULT_NAME {
            return Ok(Self(None));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_valid = text.len() <= NAME_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(is_word);
        if !is_valid {
            return Err(InvalidId::Queue(shown(text)));
        }
        Ok(Self(Some(text.into())))
    }
}

impl TryFrom<String> for QueueName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that tasks of a queue share which must not run all at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConcurrencyKey(Arc<str>);

impl ConcurrencyKey {
    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConcurrencyKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_valid = (1..=KEY_BYTES_MAX).contains(&text.len())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if !is_valid {
            return Err(InvalidId::ConcurrencyKey(shown(text)));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ConcurrencyKey {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ConcurrencyKey> for String {
    fn from(key: ConcurrencyKey) -> Self {
        key.as_str().to_owned()
    }
}

impl fmt::Display for ConcurrencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Settings of a queue, as an operator gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Its share of the fleet beside other queues with waiting tasks.
    pub weight: u32,
    /// True while none of its tasks is started. Those that run go on.
    pub is_paused: bool,
    /// Most tasks of it that run at once; any number when absent.
    pub max_running: Option<u32>,
    /// Most tasks with the same concurrency key that run at once.
    pub max_running_per_key: u32,
    /// Bound on starts in a time; none when absent.
    pub rate: Option<Rate>,
}

impl QueueSettings {
    /// Greatest weight: one task of such a queue for thousands of another is as good as none.
    pub const WEIGHT_MAX: u32 = 10_000;

    /// Finds the first value that is out of bounds.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        if self.weight == 0 || self.weight > Self::WEIGHT_MAX {
            return Some("weight is 1 to 10000");
        }
        if self.max_running == Some(0) {
            return Some("max_running is at least 1; a queue that starts nothing is paused");
        }
        if self.max_running_per_key == 0 {
            return Some("max_running_per_key is at least 1");
        }
        self.rate.and_then(|rate| rate.fault())
    }
}

impl Default for QueueSettings {
    /// Returns those of a queue of which nobody has said anything.
    fn default() -> Self {
        Self { weight: 1, is_paused: false, max_running: None, max_running_per_key: 1, rate: None }
    }
}

/// Most starts in a time: so many at once, and as many again evenly over each such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Number of starts.
    pub starts: u32,
    /// Time in which there may be so many.
    pub per: Duration,
}

impl Rate {
    /// Most starts: more than masters can commit in the shortest time.
    pub const STARTS_MAX: u32 = 1_000_000;
    /// Shortest and longest time.
    pub const PER_RANGE: (Duration, Duration) =
        (Duration::from_secs(1), Duration::from_secs(86_400));

    fn fault(self) -> Option<&'static str> {
        let (min, max) = Self::PER_RANGE;
        if self.starts == 0 || self.starts > Self::STARTS_MAX {
            return Some("the starts of a rate are 1 to 1000000");
        }
        let is_whole = self.per.subsec_nanos() == 0;
        (self.per < min || self.per > max || !is_whole)
            .then_some("the time of a rate is 1 s to 24 h, in whole seconds")
    }

    fn per_millis(self) -> u64 {
        self.per.as_secs().saturating_mul(1_000)
    }
}

/// Part of a rate that is used up: the time, in parts of a millisecond as many as the starts of the rate, from
/// which it is whole again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used(u64);

impl Used {
    /// Returns the starts that are allowed now.
    #[must_use]
    pub fn left(self, rate: Rate, now: Timestamp) -> u64 {
        let starts = u64::from(rate.starts);
        let now = now.0.saturating_mul(starts);
        let whole = rate.per_millis().saturating_mul(starts);
        let missing = self.0.saturating_sub(now).min(whole);
        (whole - missing).checked_div(rate.per_millis()).unwrap_or(0)
    }

    /// Returns what is used up after one more start.
    #[must_use]
    pub fn after_start(self, rate: Rate, now: Timestamp) -> Self {
        let now = now.0.saturating_mul(u64::from(rate.starts));
        Self(self.0.max(now).saturating_add(rate.per_millis()))
    }

    /// Returns the time at which the next start is allowed, if none is now.
    #[must_use]
    pub fn next_start(self, rate: Rate, now: Timestamp) -> Option<Timestamp> {
        if self.left(rate, now) > 0 {
            return None;
        }
        let starts = u64::from(rate.starts);
        // So much may be missing when one start is allowed.
        let allowed = rate.per_millis().saturating_mul(starts.saturating_sub(1));
        let at = self.0.saturating_sub(allowed).div_ceil(starts.max(1));
        Some(Timestamp(at))
    }
}

/// A queue of which an operator has said something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Name in the cluster.
    pub name: QueueName,
    /// Settings.
    pub settings: QueueSettings,
    /// Part of its rate that is used up.
    pub used: Used,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Time at which its settings last changed.
    pub changed_at: Timestamp,
    /// Log position of the last change of its settings.
    pub changed_index: LogIndex,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl Queue {
    /// The level since which there are named queues.
    pub const LEVEL: Level = Level(2);

    /// Returns the starts that its rate allows now; any number where it has none.
    #[must_use]
    pub fn starts_left(&self, now: Timestamp) -> u64 {
        self.settings.rate.map_or(u64::MAX, |rate| self.used.left(rate, now))
    }
}

/// Reason for which a queue starts none of its tasks, or not a certain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// An operator has paused it.
    Paused,
    /// As many of its tasks run as may.
    MaxRunning {
        /// Bound.
        max: u32,
    },
    /// As many were started as may be in the time.
    Rate {
        /// Bound.
        rate: Rate,
        /// Time at which the next one may start.
        until: Timestamp,
    },
    /// As many run with the same concurrency key as may.
    Key {
        /// Bound.
        max: u32,
    },
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("is paused"),
            Self::MaxRunning { max } => write!(f, "runs {max} tasks, its max_running"),
            Self::Rate { rate: Rate { starts, per }, .. } => {
                write!(f, "has started {starts} tasks in {} s, its rate", per.as_secs())
            }
            Self::Key { max } => {
                write!(f, "runs {max} tasks with the same concurrency_key, its max_running_per_key")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_queue_that_always_exists_has_one_name() {
        let parsed: QueueName = "default".parse().unwrap();
        assert_eq!((parsed.clone(), parsed.as_str()), (QueueName::default(), "default"));
        assert!("".parse::<QueueName>().is_err() && "a/b".parse::<QueueName>().is_err());
        assert!("".parse::<ConcurrencyKey>().is_err() && " a".parse::<ConcurrencyKey>().is_err());
        assert_eq!("db:/x y".parse::<ConcurrencyKey>().unwrap().as_str(), "db:/x y");
    }

    #[test]
    fn a_rate_allows_its_starts_at_once_and_then_evenly() {
        let rate = Rate { starts: 3, per: Duration::from_secs(1) };
        let now = Timestamp(1_700_000_000_000);
        let mut used = Used::default();
        for left in [3, 2, 1] {
            assert_eq!((used.left(rate, now), used.next_start(rate, now)), (left, None));
            used = used.after_start(rate, now);
        }
        assert_eq!(used.left(rate, now), 0);
        let next = used.next_start(rate, now).unwrap();
        assert_eq!(next, Timestamp(now.0 + 334));
        assert_eq!(used.left(rate, Timestamp(next.0 - 1)), 0);
        assert_eq!(used.left(rate, next), 1);
        assert_eq!(used.left(rate, Timestamp(now.0 + 1_000)), 3);
    }

    proptest! {
        /// Beside a list of all starts: in no time of the rate are there more than twice as many, and over
        /// a long time there are as many as it says.
        #[test]
        fn a_rate_is_kept_whenever_somebody_asks(
            starts in 1..50_u32, secs in 1..100_u64, gaps in proptest::collection::vec(0..5_000_u64, 1..400),
        ) {
            let rate = Rate { starts, per: Duration::from_secs(secs) };
            let begin = 1_700_000_000_000;
            let (mut now, mut used, mut all) = (begin, Used::default(), Vec::new());
            for gap in gaps {
                now += gap;
                let next = used.next_start(rate, Timestamp(now));
                prop_assert_eq!(next.is_none(), used.left(rate, Timestamp(now)) > 0);
                if let Some(next) = next {
                    prop_assert!(next.0 > now && used.left(rate, next) > 0);
                    continue;
                }
                used = used.after_start(rate, Timestamp(now));
                all.push(now);
            }
            let allowed = u64::from(starts) + (now - begin) * u64::from(starts) / (secs * 1_000);
            prop_assert!(all.len() as u64 <= allowed + 1, "{} of {allowed}", all.len());
        }
    }
}
