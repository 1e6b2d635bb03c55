//! Forms in which flags, variables and files hold values of common types.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cluster_state::{Backoff, MasterId, Strategy, WorkerId};

use crate::logging::{LogFilter, LogFormat};

/// A type of configuration value.
pub trait Value: Sized {
    /// Reads the text of a flag or a variable, or says what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// Reads the value of a file: in a type of TOML's own, or as the text that the flag takes.
    fn from_toml(value: toml::Value) -> Result<Self, String> {
        Self::parse(&as_text(value)?)
    }

    /// Writes the value so that a file may hold it; an absent value is not written.
    fn to_toml(&self) -> Option<toml::Value>;
}

impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        T::from_toml(value).map(Some)
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.as_ref().and_then(T::to_toml)
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self)
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self.display())
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is neither true nor false"))
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(toml::Value::Boolean(*self))
    }
}

impl Value for u64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not a whole number"))
    }

    fn to_toml(&self) -> Option<toml::Value> {
        // TOML has no whole numbers beyond 63 bits; a text may hold any.
        i64::try_from(*self).map_or_else(|_| text(self), |number| Some(number.into()))
    }
}

impl Value for usize {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not a whole number"))
    }

    fn to_toml(&self) -> Option<toml::Value> {
        u64::try_from(*self).unwrap_or(u64::MAX).to_toml()
    }
}

impl Value for f64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not a number"))
    }

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        match value.as_float() {
            Some(number) => Ok(number),
            None => Self::parse(&as_text(value)?),
        }
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(toml::Value::Float(*self))
    }
}

impl Value for MasterId {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| format!("'{text}' is not a whole number above 0"))
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.0.to_toml()
    }
}

impl Value for WorkerId {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: cluster_state::InvalidId| error.to_string())
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self)
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not an address such as 127.0.0.1:50052"))
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self)
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

    fn to_toml(&self) -> Option<toml::Value> {
        text(humantime::format_duration(*self).to_string().replace(' ', ""))
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

    fn to_toml(&self) -> Option<toml::Value> {
        text(match self {
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

    fn to_toml(&self) -> Option<toml::Value> {
        text(match self {
            Self::Exponential => "on",
            Self::Off => "off",
        })
    }
}

impl Value for LogFilter {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self.as_str())
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

    fn to_toml(&self) -> Option<toml::Value> {
        text(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// `a,b`, or an array.
impl Value for Vec<String> {
    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Ok(items.map(str::to_owned).collect())
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(toml::Value::Array(self.iter().filter_map(Value::to_toml).collect()))
    }
}

/// Makes a TOML value of a text.
pub fn text(text: impl fmt::Display) -> Option<toml::Value> {
    Some(toml::Value::String(text.to_string()))
}

/// Turns a value of a file into the text that the flag would take.
pub(super) fn as_text(value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(choice) => Ok(choice.to_string()),
        toml::Value::Array(items) => {
            let items = items.into_iter().map(as_text);
            Ok(items.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        other @ (toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_)) => {
            Err(format!("a {} cannot be a value here", other.type_str()))
        }
    }
}
