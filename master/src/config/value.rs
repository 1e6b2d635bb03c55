//! How each kind of value is written in flags, variables and files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cluster_state::MasterId;

use crate::leader::placement::Strategy;
use crate::leader::reconnection::Backoff;

/// A number of bytes, written as in `8MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

impl Bytes {
    /// As a figure of the operating system.
    pub(crate) fn as_u64(self) -> u64 {
        u64::try_from(self.0).unwrap_or(u64::MAX)
    }

    /// So many times 1,048,576.
    #[must_use]
    pub const fn mib(count: usize) -> Self {
        Self(count << 20)
    }
}

/// Host names, written with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// A span of time from which each election timeout is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutRange {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A type of configuration value.
pub(super) trait Value: Sized {
    /// Reads it, or says what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it as TOML.
    fn to_toml(&self) -> String;
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn to_toml(&self) -> String {
        quoted(self.display())
    }
}

impl Value for Names {
    fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names = names.map(str::to_ascii_lowercase).collect::<Vec<_>>();
        match names.iter().find(|name| name.contains(['/', ' ', '@'])) {
            Some(name) => Err(format!("'{name}' is not a host name")),
            None => Ok(Self(names)),
        }
    }

    fn to_toml(&self) -> String {
        quoted(self.0.join(","))
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is neither true nor false"))
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not a whole number"))
    }

    fn to_toml(&self) -> String {
        whole_number(*self)
    }
}

impl Value for usize {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not a whole number"))
    }

    fn to_toml(&self) -> String {
        whole_number(u64::try_from(*self).unwrap_or(u64::MAX))
    }
}

impl Value for MasterId {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| format!("'{text}' is not a whole number above 0"))
    }

    fn to_toml(&self) -> String {
        whole_number(self.0)
    }
}

/// Longer durations are slips of the pen, and a time that lies so far ahead could overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text)
            .map_err(|_| format!("'{text}' is not a duration such as 250ms, 30s or 5m"))?;
        if duration > DURATION_MAX {
            return Err(format!("{text} is longer than ten years"));
        }
        Ok(duration)
    }

    fn to_toml(&self) -> String {
        quoted(humantime::format_duration(*self).to_string().replace(' ', ""))
    }
}

impl Value for TimeoutRange {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("'{text}' is not a range such as 250ms..400ms");
        let (min, max) = text.split_once("..").ok_or_else(expected)?;
        let min = Duration::parse(min.trim()).map_err(|_| expected())?;
        let max = Duration::parse(max.trim()).map_err(|_| expected())?;
        if min >= max {
            return Err(format!("'{text}' does not rise: the first must be below the second"));
        }
        Ok(Self { min, max })
    }

    fn to_toml(&self) -> String {
        let [min, max] = [self.min, self.max].map(humantime::format_duration);
        quoted(format!("{min}..{max}"))
    }
}

impl Value for Bytes {
    fn parse(text: &str) -> Result<Self, String> {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("", 0)];
        units
            .into_iter()
            .find_map(|(unit, shift)| {
                let number = text.strip_suffix(unit)?.trim().parse::<usize>().ok()?;
                number.checked_mul(1 << shift)
            })
            .map(Self)
            .ok_or_else(|| format!("'{text}' is not a number of bytes such as 65536 or 8MiB"))
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Value for Strategy {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "spread" => Ok(Self::Spread),
            "binpack" => Ok(Self::Binpack),
            other => Err(format!("'{other}' is neither spread nor binpack")),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Spread => "spread",
            Self::Binpack => "binpack",
        })
    }
}

impl Value for Backoff {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" => Ok(Self::Exponential),
            "off" | "false" => Ok(Self::Off),
            other => Err(format!("'{other}' is neither on nor off")),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Exponential => "on",
            Self::Off => "off",
        })
    }
}

impl Value for LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("'{other}' is neither text nor json")),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// `1=host:port,2=host:port`.
impl Value for BTreeMap<MasterId, String> {
    fn parse(text: &str) -> Result<Self, String> {
        let mut members = Self::new();
        for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let Some((id, address)) = member.split_once('=') else {
                return Err(format!("'{member}' is not ID=HOST:PORT"));
            };
            let id = MasterId::parse(id.trim())?;
            if members.insert(id, address.trim().to_owned()).is_some() {
                return Err(format!("master {id} is listed twice"));
            }
        }
        Ok(members)
    }

    fn to_toml(&self) -> String {
        let members = self.iter().map(|(id, address)| format!("{id}={address}"));
        quoted(members.collect::<Vec<_>>().join(","))
    }
}

/// `high=5s,low=2m`.
impl Value for BTreeMap<String, Duration> {
    fn parse(text: &str) -> Result<Self, String> {
        let mut durations = Self::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let Some((name, duration)) = item.split_once('=') else {
                return Err(format!("'{item}' is not VALUE=DURATION"));
            };
            let name = name.trim();
            let duration = Duration::parse(duration.trim())?;
            if name.is_empty() || durations.insert(name.to_owned(), duration).is_some() {
                return Err(format!("'{name}' is empty or listed twice"));
            }
        }
        Ok(durations)
    }

    fn to_toml(&self) -> String {
        let items = self.iter().map(|(name, duration)| {
            let duration = humantime::format_duration(*duration).to_string().replace(' ', "");
            format!("{name}={duration}")
        });
        quoted(items.collect::<Vec<_>>().join(","))
    }
}

/// TOML has no whole numbers beyond 63 bits; a text may hold any.
fn whole_number(number: u64) -> String {
    if i64::try_from(number).is_ok() { number.to_string() } else { quoted(number) }
}

fn quoted(text: impl fmt::Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}
