//! One field of a cron expression: a set of small numbers.

use crate::fault::{Fault, shown};

/// A field: its name in errors, its range, and words for its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Words for the values, from `first` on.
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    pub(crate) const MINUTE: Self = Self { name: "minute", first: 0, last: 59, words: &[] };
    pub(crate) const HOUR: Self = Self { name: "hour", first: 0, last: 23, words: &[] };
    pub(crate) const DAY: Self = Self { name: "day of month", first: 1, last: 31, words: &[] };
    pub(crate) const MONTH: Self = Self { name: "month", first: 1, last: 12, words: &MONTHS };
    /// Sunday is 0, and 7.
    pub(crate) const WEEKDAY: Self =
        Self { name: "day of week", first: 0, last: 7, words: &WEEKDAYS };

    /// Reads the field as a set of bits.
    pub(crate) fn read(self, text: &str) -> Result<u64, Fault> {
        let mut set = 0;
        for part in text.split(',') {
            set |= self.part(part)?;
        }
        Ok(set)
    }

    /// Says what is wrong with a part of it.
    pub(crate) fn fault(self, part: &str, detail: impl Into<String>) -> Fault {
        Fault::Field { field: self.name, part: shown(part), detail: detail.into() }
    }

    fn part(self, part: &str) -> Result<u64, Fault> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = if range == "*" {
            (self.first, self.top())
        } else if let Some((from, to)) = range.split_once('-') {
            let (from, to) = (self.value(part, from)?, self.value(part, to)?);
            if from > to {
                let detail = "runs backwards: write it as two ranges, as in 'FRI-SAT,SUN-MON'";
                return Err(self.fault(part, detail));
            }
            (from, to)
        } else {
            let value = self.value(part, range)?;
            if step.is_some() {
                let detail = format!("has a step without a range: write '{value}-{}/…'", self.last);
                return Err(self.fault(part, detail));
            }
            (value, value)
        };

        let widest = to - from;
        let step = match step {
            None => 1,
            Some(step) => number(step)
                .filter(|step| (1..=widest).contains(step))
                .ok_or_else(|| self.fault(part, format!("needs a step from 1 to {widest}")))?,
        };
        let mut set = 0;
        let mut value = from;
        while value <= to {
            set |= 1 << value;
            value += step;
        }
        Ok(set)
    }

    /// The largest value that `*` means: Sunday is there once.
    const fn top(self) -> u32 {
        if self.last == 7 { 6 } else { self.last }
    }

    fn value(self, part: &str, text: &str) -> Result<u32, Fault> {
        let lower = text.to_ascii_lowercase();
        if let Some(place) = self.words.iter().position(|word| *word == lower) {
            return Ok(self.first + u32::try_from(place).unwrap_or(0));
        }
        let value = number(text).filter(|value| (self.first..=self.last).contains(value));
        value.ok_or_else(|| {
            let words = match self.words {
                [first, .., last] => {
                    format!(" or {} to {}", first.to_uppercase(), last.to_uppercase())
                }
                [] | [_] => String::new(),
            };
            self.fault(
                part,
                format!("is out of place: values are {} to {}{words}", self.first, self.last),
            )
        })
    }
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
