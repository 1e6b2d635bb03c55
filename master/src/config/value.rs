//! Forms in which flags, variables and files hold values that only masters have.

use std::fmt;
use std::time::Duration;

use cluster_state::Role;
use daemon::config::{Value, text};

/// A number of bytes, written as in `8MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

impl Bytes {
    /// Returns the number as the operating system has it.
    pub(crate) fn as_u64(self) -> u64 {
        u64::try_from(self.0).unwrap_or(u64::MAX)
    }

    /// Returns so many mebibytes.
    #[must_use]
    pub const fn mib(count: usize) -> Self {
        Self(count << 20)
    }
}

/// Host names, written with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// Rights of callers without a token: those of a role, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anonymous(pub Option<Role>);

/// Addresses of servers, written with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

/// A span of time from which each election timeout is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutRange {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
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

    fn to_toml(&self) -> Option<toml::Value> {
        text(self.0.join(","))
    }
}

impl Value for Anonymous {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|role| Self(Some(role))).map_err(|_| {
            format!("'{text}' is neither a role (viewer, submitter, operator, admin) nor none")
        })
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self.0.map_or("none", Role::name))
    }
}

impl Value for Addresses {
    fn parse(text: &str) -> Result<Self, String> {
        let addresses = text.split(',').map(str::trim).filter(|address| !address.is_empty());
        Ok(Self(addresses.map(ToOwned::to_owned).collect()))
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self.0.join(","))
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

    fn to_toml(&self) -> Option<toml::Value> {
        let [min, max] = [self.min, self.max].map(humantime::format_duration);
        text(format!("{min}..{max}"))
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

    fn to_toml(&self) -> Option<toml::Value> {
        text(self)
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
