//! Intervals, as in `@every 1h30m`.

use std::time::Duration;

use crate::fault::{Fault, shown};

/// Longest interval.
const INTERVAL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Reads an interval: numbers with units, the larger units first, each once.
pub(crate) fn interval(text: &str) -> Result<Duration, Fault> {
    let unreadable = || Fault::Interval(shown(text));
    let mut rest = text;
    let mut seconds = 0_u64;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let number = number.parse::<u64>().map_err(|_| unreadable())?;
        let unit = match after.chars().next() {
            Some('d') => 24 * 60 * 60,
            Some('h') => 60 * 60,
            Some('m') => 60,
            Some('s') => 1,
            Some(_) | None => return Err(unreadable()),
        };
        if unit >= smallest {
            return Err(unreadable());
        }
        smallest = unit;
        let part = number.checked_mul(unit).ok_or(Fault::IntervalRange)?;
        seconds = seconds.checked_add(part).ok_or(Fault::IntervalRange)?;
        rest = after.get(1..).unwrap_or_default();
    }
    if smallest == u64::MAX {
        return Err(unreadable());
    }
    let interval = Duration::from_secs(seconds);
    if interval.is_zero() || interval > INTERVAL_MAX {
        return Err(Fault::IntervalRange);
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_with_their_units() {
        let seconds = |text| interval(text).map(|interval| interval.as_secs());
        assert_eq!(seconds("1s"), Ok(1));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("366d"), Ok(366 * 86_400));
        for text in ["", "5", "s", "1.5h", "30m1h", "1m1m", "1 m", "1M", "-1s", "1w"] {
            assert_eq!(seconds(text), Err(Fault::Interval(text.to_owned())), "{text}");
        }
        for text in ["0s", "0m0s", "367d", "99999999999999999d", "18446744073709551615s"] {
            assert_eq!(seconds(text), Err(Fault::IntervalRange), "{text}");
        }
    }
}
