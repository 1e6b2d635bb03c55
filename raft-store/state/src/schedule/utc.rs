//! Log time as text, in UTC.

use crate::Timestamp;

const MILLIS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;
/// Days from 0000-03-01 to the Unix epoch.
const EPOCH_DAYS: u64 = 719_468;
/// Days of four hundred years, after which the calendar repeats itself.
const ERA_DAYS: u64 = 146_097;

/// Returns a time as RFC 3339 writes it in UTC, to the second.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let (days, millis) = (at.0 / MILLIS_PER_DAY, at.0 % MILLIS_PER_DAY);
    let (year, month, day) = date(days);
    let seconds = millis / 1_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns the date so many days after the Unix epoch. Years begin in March, so that the leap day is
/// the last one (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(EPOCH_DAYS);
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_774_746_000_000, "2026-03-29T01:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(millis)), expected);
        }
        assert!(rfc3339(Timestamp(u64::MAX)).ends_with('Z'));
    }
}
