//! Reasons why a text is no schedule.

/// Longest part of a text that an error repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// A text that means no time, or none that ever comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another number of fields.
    #[error(
        "a cron expression has five fields (minute, hour, day of month, month, day of week), this one has {0}; seconds are written as in '@every 10s'"
    )]
    FieldCount(usize),
    /// A name that begins with `@`.
    #[error(
        "'{0}' is not known: use @yearly, @monthly, @weekly, @daily, @hourly or '@every DURATION'"
    )]
    UnknownName(String),
    /// A field has a part that is none.
    #[error("{field}: '{part}' {detail}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The part, cut to what an error repeats.
        part: String,
        /// The fault.
        detail: String,
    },
    /// No month of the expression has any of its days.
    #[error("it never comes: no month that it names has day {0}")]
    Never(u32),
    /// An interval that is not written as one.
    #[error("'{0}' is not an interval of whole seconds, as in 30s, 5m, 1h30m or 7d")]
    Interval(String),
    /// An interval out of range.
    #[error("an interval is from 1s to 366d")]
    IntervalRange,
    /// There is no such time zone.
    #[error(
        "'{0}' is not a time zone of the IANA database (edition {edition}), as in Europe/Berlin",
        edition = crate::edition::ZONE_DATA
    )]
    UnknownZone(String),
    /// The description of the time zone is damaged.
    #[error("time zone '{0}' cannot be read")]
    DamagedZone(String),
}

/// Returns the beginning of a text that comes from outside.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
