//! Flags, environment and file, and the highest of them that gives a key.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::ConfigError;
use super::key::{self, Given, Key};

/// All layers above the defaults.
pub(super) struct Layers<'a> {
    pub(super) flags: Option<&'a ArgMatches>,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) file: Option<&'a FileLayer>,
}

/// A layer, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Flag,
    Variable,
    File,
    FallbackVariable,
}

/// A value, and where it stands.
pub(super) struct Found {
    rank: Rank,
    pub(super) place: String,
    pub(super) given: Given,
}

impl Layers<'_> {
    /// Returns the value of a key in the highest layer that has one.
    fn find<C>(&self, key: &Key<C>) -> Option<Found> {
        let text = |rank, place: &str, text| Found {
            rank,
            place: place.to_owned(),
            given: Given::Text(text),
        };
        let flag = || {
            let values = self.flags?.get_many::<String>(key.path)?;
            let values = values.map(String::as_str).collect::<Vec<_>>().join(",");
            Some(text(Rank::Flag, &format!("--{}", key.flag), values))
        };
        let variable = || {
            let value = (self.variable)(&key.variable)?;
            Some(text(Rank::Variable, &key.variable, value))
        };
        let file = || {
            let file = self.file?;
            let (_, value) = file.values.iter().find(|(path, _)| *path == key.path)?;
            let place = file.path.display().to_string();
            Some(Found { rank: Rank::File, place, given: Given::Toml(value.clone()) })
        };
        let fallback = || {
            let name = key.fallback_variable?;
            Some(text(Rank::FallbackVariable, name, (self.variable)(name)?))
        };

        flag().or_else(variable).or_else(file).or_else(fallback)
    }

    /// Returns the value of a key, unless a higher layer says the same by the alternative to the
    /// key.
    pub(super) fn find_unless_outranked<C>(&self, key: &Key<C>, keys: &[Key<C>]) -> Option<Found> {
        let found = self.find(key)?;
        let alternative = key.alternative.and_then(|path| self.find(key::find(keys, path)?));
        let is_outranked = alternative.is_some_and(|other| other.rank < found.rank);
        (!is_outranked).then_some(found)
    }

    /// Returns true if a key has a value that is not empty.
    pub(super) fn give<C>(&self, key: &Key<C>) -> bool {
        self.find(key).is_some_and(|found| !found.given.is_empty())
    }
}

/// The keys that a file gives.
pub(super) struct FileLayer {
    path: PathBuf,
    values: Vec<(&'static str, toml::Value)>,
}

impl FileLayer {
    /// Reads a TOML file that has no other keys than these.
    pub(super) fn read<C>(path: &Path, keys: &[Key<C>]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let table = toml::from_str::<toml::Table>(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
            ConfigError::Syntax {
                path: path.to_owned(),
                line: line.saturating_add(1),
                detail: error.message().to_owned(),
            }
        })?;

        let mut file = Self { path: path.to_owned(), values: Vec::new() };
        file.take("", table, keys)?;
        Ok(file)
    }

    fn take<C>(
        &mut self,
        prefix: &str,
        table: toml::Table,
        keys: &[Key<C>],
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let path = format!("{prefix}{name}");
            if let Some(key) = key::find(keys, &path) {
                self.values.push((key.path, value));
                continue;
            }
            let is_section = keys.iter().any(|key| key.path.starts_with(&format!("{path}.")));
            if let (true, toml::Value::Table(section)) = (is_section, value) {
                self.take(&format!("{path}."), section, keys)?;
                continue;
            }
            let hint = key::closest(keys, &path);
            return Err(ConfigError::UnknownKey { key: path, path: self.path.clone(), hint });
        }
        Ok(())
    }
}
