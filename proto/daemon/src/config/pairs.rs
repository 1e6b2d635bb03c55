//! Forms of values that are pairs: `key=value,key=value`, or a table with a line for each.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::MasterId;

use super::Value;
use super::value::{as_text, text};

/// `1=host:port,2=host:port`.
impl Value for BTreeMap<MasterId, String> {
    fn parse(text: &str) -> Result<Self, String> {
        let mut members = Self::new();
        for member in Vec::<String>::parse(text)? {
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

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        Self::parse(&joined(value)?)
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let members = self.iter().map(|(id, address)| format!("{id}={address}"));
        text(members.collect::<Vec<_>>().join(","))
    }
}

/// `high=5s,low=2m`.
impl Value for BTreeMap<String, Duration> {
    fn parse(text: &str) -> Result<Self, String> {
        let mut durations = Self::new();
        for item in Vec::<String>::parse(text)? {
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

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        Self::parse(&joined(value)?)
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let items = self.iter().map(|(name, duration)| {
            let duration = humantime::format_duration(*duration).to_string().replace(' ', "");
            format!("{name}={duration}")
        });
        text(items.collect::<Vec<_>>().join(","))
    }
}

/// `key=value,key=value`, or a table, in which values may hold commas.
impl Value for BTreeMap<String, String> {
    fn parse(text: &str) -> Result<Self, String> {
        let items = Vec::<String>::parse(text)?;
        let pairs = items.iter().map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            Some(_) | None => Err(format!("'{item}' is not KEY=VALUE")),
        });
        pairs.collect()
    }

    fn from_toml(value: toml::Value) -> Result<Self, String> {
        let toml::Value::Table(pairs) = value else { return Self::parse(&as_text(value)?) };
        let pairs = pairs.into_iter().map(|(key, value)| match value.as_str() {
            Some(value) => Ok((key, value.to_owned())),
            None => Err(format!("{key} is of type {}, not a text", value.type_str())),
        });
        pairs.collect()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let pairs = self.iter().filter_map(|(key, value)| Some((key.clone(), value.to_toml()?)));
        Some(toml::Value::Table(pairs.collect()))
    }
}

fn joined(value: toml::Value) -> Result<String, String> {
    let toml::Value::Table(pairs) = value else { return as_text(value) };
    let pairs = pairs.into_iter().map(|(name, value)| Ok(format!("{name}={}", as_text(value)?)));
    Ok(pairs.collect::<Result<Vec<_>, String>>()?.join(","))
}
