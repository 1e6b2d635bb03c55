//! The instants that an expression means in a time zone.
//!
//! An expression whose minute and hour both name times goes by the wall clock: a time that the clock
//! skips counts as the first instant after the gap, and one that it shows twice counts the first time.
//! The others, whose minute or hour begins with `*`, go on with real time: they count at each instant
//! at which the wall clock shows one of their times, so none is made up and none left out.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{Span, Timestamp, ZonedDateTime};

use crate::expression::{Expression, Fields, Kind};
use crate::{Fault, Zone};

/// An expression in a time zone.
#[derive(Debug, Clone)]
pub struct Timetable {
    expression: Expression,
    zone: Zone,
}

impl Timetable {
    /// Reads an expression and the name of a time zone.
    ///
    /// # Errors
    ///
    /// If one of them is none, or the expression means no time that ever comes.
    pub fn read(expression: &str, zone: &str) -> Result<Self, Fault> {
        Ok(Self::new(expression.parse()?, Zone::named(zone)?))
    }

    /// Returns the timetable of an expression in a zone.
    #[must_use]
    pub const fn new(expression: Expression, zone: Zone) -> Self {
        Self { expression, zone }
    }

    /// Returns the first of its times after a time, both in milliseconds since the Unix epoch; none
    /// after the year 9999.
    #[must_use]
    pub fn next_after(&self, unix_millis: u64) -> Option<u64> {
        match &self.expression.0 {
            Kind::Every(interval) => next_multiple(*interval, unix_millis),
            Kind::Wall(fields) => {
                let after = Timestamp::from_millisecond(i64::try_from(unix_millis).ok()?).ok()?;
                let next = if fields.is_fixed {
                    self.next_fixed(fields, after)?
                } else {
                    self.next_real(fields, after)?
                };
                u64::try_from(next.as_millisecond()).ok()
            }
        }
    }

    /// Returns its times after a time, in order.
    pub fn after(&self, unix_millis: u64) -> impl Iterator<Item = u64> + '_ {
        std::iter::successors(self.next_after(unix_millis), |at| self.next_after(*at))
    }

    /// Returns a time as the wall clock of the zone shows it, with the day of the week and the offset.
    #[must_use]
    pub fn local_text(&self, unix_millis: u64) -> Option<String> {
        let at = Timestamp::from_millisecond(i64::try_from(unix_millis).ok()?).ok()?;
        let local = ZonedDateTime::new(at, self.zone.rules.clone());
        Some(local.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string())
    }

    /// Times that follow each other on the wall clock mean instants that do, too, though several may
    /// mean the same one.
    fn next_fixed(&self, fields: &Fields, after: Timestamp) -> Option<Timestamp> {
        let mut from = minute_of(self.zone.rules.to_datetime(after))?;
        loop {
            let local = fields.first_from(from)?;
            let at = self.instant_of(local)?;
            if at > after {
                return Some(at);
            }
            from = local.checked_add(Span::new().minutes(1)).ok()?;
        }
    }

    fn instant_of(&self, local: DateTime) -> Option<Timestamp> {
        let rules = &self.zone.rules;
        match rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset }
            | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                let before_it = after.to_timestamp(local).ok()?;
                let mut changes = rules.following(before_it);
                let gap = changes.find(|change| change.offset() == after)?;
                Some(gap.timestamp())
            }
        }
    }

    /// Looks at one stretch of time after the other in which the offset of the zone stays the same.
    fn next_real(&self, fields: &Fields, after: Timestamp) -> Option<Timestamp> {
        let rules = &self.zone.rules;
        let mut start = after.checked_add(Span::new().milliseconds(1)).ok()?;
        loop {
            let offset = rules.to_offset(start);
            let end = rules.following(start).next().map(|change| change.timestamp());
            let local = offset.to_datetime(start);
            let minute = minute_of(local)?;
            let from = if minute < local {
                minute.checked_add(Span::new().minutes(1)).ok()?
            } else {
                minute
            };
            let at = offset.to_timestamp(fields.first_from(from)?).ok()?;
            match end {
                Some(end) if at >= end => start = end,
                Some(_) | None => return Some(at),
            }
        }
    }
}

/// Returns the minute that a time lies in.
fn minute_of(local: DateTime) -> Option<DateTime> {
    local.with().second(0).subsec_nanosecond(0).build().ok()
}

fn next_multiple(interval: Duration, unix_millis: u64) -> Option<u64> {
    let interval = u64::try_from(interval.as_millis()).ok()?;
    (unix_millis.checked_div(interval)? + 1).checked_mul(interval)
}
