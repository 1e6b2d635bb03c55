//! Cron expressions: five fields, a name, or an interval.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, DateTime};

use crate::duration::interval;
use crate::fault::{Fault, shown};
use crate::field::Field;

/// Names of expressions.
const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Days of each month, in a leap year.
const DAYS_MAX: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Multiples of an interval since the Unix epoch.
    Every(Duration),
    /// Times of the wall clock.
    Wall(Fields),
}

/// The five fields, as sets of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    is_last_day: bool,
    months: u64,
    weekdays: u64,
    /// True if one of both days is enough: neither field begins with `*`.
    is_either_day: bool,
    /// True if neither minute nor hour begins with `*`: it names times of the day, and goes by the wall
    /// clock. The others go on with real time.
    pub(crate) is_fixed: bool,
}

impl FromStr for Expression {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if let Some(text) = text.strip_prefix("@every") {
            return Ok(Self(Kind::Every(interval(text.trim())?)));
        }
        let fields = if text.starts_with('@') {
            let lower = text.to_ascii_lowercase();
            let named = NAMES.iter().find(|(name, _)| *name == lower);
            named.map(|(_, fields)| *fields).ok_or_else(|| Fault::UnknownName(shown(text)))?
        } else {
            text
        };
        let fields = fields.split_ascii_whitespace().collect::<Vec<_>>();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(Fault::FieldCount(fields.len()));
        };
        Ok(Self(Kind::Wall(Fields::read(minute, hour, day, month, weekday)?)))
    }
}

impl Fields {
    fn read(
        minute: &str,
        hour: &str,
        day: &str,
        month: &str,
        weekday: &str,
    ) -> Result<Self, Fault> {
        let minutes = Field::MINUTE.read(minute)?;
        let hours = Field::HOUR.read(hour)?;
        let (last, numbered) = day.split(',').partition::<Vec<_>, _>(is_last);
        let is_last_day = !last.is_empty();
        let days = if numbered.is_empty() { 0 } else { Field::DAY.read(&numbered.join(","))? };
        let months = Field::MONTH.read(month)?;
        let weekdays = Field::WEEKDAY.read(weekday)?;
        let weekdays = if has(weekdays, 7) { weekdays | 1 } else { weekdays };

        let is_free = |field: &str| field.starts_with('*');
        let fields = Self {
            minutes,
            hours,
            days,
            is_last_day,
            months,
            weekdays,
            is_either_day: !is_free(day) && !is_free(weekday),
            is_fixed: !is_free(minute) && !is_free(hour),
        };
        if !fields.comes_ever() {
            return Err(Fault::Never(fields.days.trailing_zeros()));
        }
        Ok(fields)
    }

    /// Returns whether some month that it names has one of its days. Then that day also falls on each
    /// day of the week, some year.
    fn comes_ever(&self) -> bool {
        let longest = (1_u32..).zip(DAYS_MAX).filter(|(month, _)| has(self.months, *month));
        let longest = longest.map(|(_, days)| days).max().unwrap_or(0);
        self.is_either_day || self.is_last_day || self.days.trailing_zeros() <= longest
    }

    /// Returns the first minute of the wall clock that it names, from `from` on, as if no hour were
    /// skipped or repeated.
    pub(crate) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let (hour, minute) = (number(from.hour()), number(from.minute()));
        if self.names_day(date)
            && let Some(time) = self.time_from(hour, minute)
        {
            return at(date, time);
        }
        loop {
            date = if has(self.months, number(date.month())) {
                date.tomorrow().ok()?
            } else {
                date.last_of_month().tomorrow().ok()?
            };
            if self.names_day(date) {
                return at(date, self.time_from(0, 0)?);
            }
        }
    }

    fn names_day(&self, date: Date) -> bool {
        if !has(self.months, number(date.month())) {
            return false;
        }
        let is_last = self.is_last_day && date.day() == date.days_in_month();
        let of_month = is_last || has(self.days, number(date.day()));
        let of_week = has(self.weekdays, number(date.weekday().to_sunday_zero_offset()));
        if self.is_either_day { of_month || of_week } else { of_month && of_week }
    }

    /// Returns the first hour and minute from these on.
    fn time_from(&self, hour: u32, minute: u32) -> Option<(u32, u32)> {
        let this_hour = has(self.hours, hour).then(|| first_from(self.minutes, minute)).flatten();
        if let Some(minute) = this_hour {
            return Some((hour, minute));
        }
        Some((first_from(self.hours, hour + 1)?, first_from(self.minutes, 0)?))
    }
}

fn is_last(part: &&str) -> bool {
    part.eq_ignore_ascii_case("L")
}

const fn has(set: u64, value: u32) -> bool {
    value < u64::BITS && set >> value & 1 == 1
}

fn first_from(set: u64, value: u32) -> Option<u32> {
    let rest = set.checked_shr(value)?;
    (rest != 0).then(|| value + rest.trailing_zeros())
}

/// Converts a number of the calendar, none of which is negative.
fn number(number: i8) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn at(date: Date, (hour, minute): (u32, u32)) -> Option<DateTime> {
    Some(date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0))
}

#[cfg(test)]
mod tests;
