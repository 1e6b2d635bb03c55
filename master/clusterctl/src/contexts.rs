//! Clusters that somebody has logged in to, kept in one file of their owner alone.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use file::ContextFile;

/// Longest name of a context in bytes.
const NAME_BYTES_MAX: usize = 64;

/// All contexts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// Name of the one that counts when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Contexts by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, SavedContext>,
}

/// A cluster, and what to call it with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedContext {
    /// Masters to ask.
    pub endpoints: Vec<String>,
    /// Certificates that are trusted to issue those of masters; absent, nothing is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cacert: Option<PathBuf>,
    /// Own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Key of the own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// File with the token to present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Token to present, where it is in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<StoredToken>,
}

/// A token as the file holds it. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredToken(String);

/// Reason that contexts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextsError {
    /// Nobody knows where they are.
    #[error("there is no place for contexts: set CLUSTERCTL_CONFIG or HOME")]
    NoPlace,
    /// The file cannot be read.
    #[error("cannot read the contexts in {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file cannot be written.
    #[error("cannot write the contexts to {}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// Others may read the file.
    #[error(
        "the contexts in {} are not used: others than its owner may read or write the file (mode \
         {mode:04o}); chmod 600 it",
        path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    /// The file holds something else.
    #[error("{} does not hold contexts: line {line}", path.display())]
    Form { path: PathBuf, line: usize },
    /// There is no such context.
    #[error("there is no context '{0}': clusterctl context list shows them")]
    Unknown(String),
    /// No context is in use.
    #[error("no context is in use: name one, as clusterctl context list shows them")]
    NoneCurrent,
    /// The name cannot be one.
    #[error("'{0}' is no name of a context: 1 to 64 letters, digits, '.', '_' or '-'")]
    Name(String),
}

impl Contexts {
    /// Returns a context by its name.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn get(&self, name: &str) -> Result<&SavedContext, ContextsError> {
        self.contexts.get(name).ok_or_else(|| ContextsError::Unknown(name.to_owned()))
    }

    /// Adds or replaces a context, which counts from then on.
    pub fn log_in(&mut self, name: &str, context: SavedContext) {
        self.contexts.insert(name.to_owned(), context);
        self.current = Some(name.to_owned());
    }

    /// Lets a context count when none is named.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn set_current(&mut self, name: &str) -> Result<(), ContextsError> {
        self.get(name)?;
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Removes a context. If it was the current one, there is none afterwards.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), ContextsError> {
        self.get(name)?;
        self.contexts.remove(name);
        self.current.take_if(|current| current == name);
        Ok(())
    }
}

impl StoredToken {
    /// Keeps a token.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim_ascii().to_owned())
    }

    /// Returns the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredToken")
    }
}

/// Checks the name of a new context.
///
/// # Errors
///
/// When it cannot be one.
pub fn check_name(name: &str) -> Result<(), ContextsError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_valid = (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('-')
        && name.chars().all(is_word);
    if is_valid { Ok(()) } else { Err(ContextsError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests;
