//! Log time: stamped once by the leader, the same on every master.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as the proposing leader saw them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns this time plus `duration`, to the millisecond; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Returns this time minus `duration`, to the millisecond; stops at zero.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Returns the time that has passed since `earlier`; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Returns a duration in whole milliseconds, as records and messages hold it; saturates.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "larger numbers are caught before")]
pub const fn millis(duration: Duration) -> u64 {
    let millis = duration.as_millis();
    if millis > u64::MAX as u128 { u64::MAX } else { millis as u64 }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_within_their_range() {
        assert_eq!(Timestamp(1).after(Duration::from_millis(2)), Timestamp(3));
        assert_eq!(Timestamp(1).after(Duration::MAX), Timestamp(u64::MAX));
        assert_eq!(Timestamp(3).before(Duration::from_millis(2)), Timestamp(1));
        assert_eq!(Timestamp(3).before(Duration::MAX), Timestamp(0));
        assert_eq!(Timestamp(3).since(Timestamp(1)), Duration::from_millis(2));
        assert_eq!(Timestamp(1).since(Timestamp(3)), Duration::ZERO);
    }
}
