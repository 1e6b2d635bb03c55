//! Converts times and durations as they are written in messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster_state::Timestamp;

use super::Breach;

/// Last millisecond of the year 9999: RFC 3339 has no later time.
const LATEST: Timestamp = Timestamp(253_402_300_799_999);

/// A year: longer durations are typing errors, and their sums could overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reason that a text is not a point in time.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTime {
    /// It is not in the format of RFC 3339.
    #[error("not a time as RFC 3339 writes it")]
    Format(#[source] humantime::TimestampError),
    /// It lies before 1970.
    #[error("a time before 1970")]
    BeforeEpoch,
}

/// Formats a time in UTC with milliseconds, as in `2025-11-17T10:30:00.000Z`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(time.min(LATEST).0);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Parses a time, to the millisecond.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, InvalidTime> {
    let time: SystemTime = humantime::parse_rfc3339(text).map_err(InvalidTime::Format)?;
    let since_epoch = time.duration_since(UNIX_EPOCH).map_err(|_| InvalidTime::BeforeEpoch)?;
    Ok(Timestamp(0).after(since_epoch))
}

pub(super) fn duration(text: &str) -> Result<Duration, Breach> {
    bounded(humantime::parse_duration(text).map_err(|_| Breach::Duration)?)
}

pub(super) fn bounded(duration: Duration) -> Result<Duration, Breach> {
    if duration > DURATION_MAX {
        return Err(Breach::DurationTooLong);
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_to_the_millisecond() {
        let time = Timestamp(1_763_375_400_123);
        assert_eq!(rfc3339(time), "2025-11-17T10:30:00.123Z");
        assert_eq!(parse_rfc3339(&rfc3339(time)).unwrap(), time);
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_duration_is_bounded() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("soon"), Err(Breach::Duration));
        assert_eq!(duration("-1s"), Err(Breach::Duration));
        assert_eq!(duration("366d"), Err(Breach::DurationTooLong));
        assert_eq!(duration("99999999999999999999999y"), Err(Breach::Duration));
    }
}
