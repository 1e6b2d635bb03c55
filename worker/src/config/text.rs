//! Parses and writes values as they look in files and on the command line.

use std::time::Duration;

/// Durations as people write them: `250ms`, `30s`, `5m`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Serialize, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        duration: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        humantime::format_duration(*duration).to_string().serialize(to)
    }
}

/// Durations that may be absent.
pub(super) mod optional_duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_duration(&text).map(Some).map_err(D::Error::custom)
    }
}

/// Longer durations are typing errors, and such a distant time could overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Parses a duration of at most ten years.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > DURATION_MAX {
        return Err(format!("{text} is longer than ten years"));
    }
    Ok(duration)
}

/// Labels, as a table in files.
pub(super) mod labels {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(String, String)>, D::Error> {
        Ok(BTreeMap::deserialize(from)?.into_iter().collect())
    }
}

/// Parses a label of the command line: `key=value`.
pub(super) fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("key=value is expected".to_owned()),
    }
}
