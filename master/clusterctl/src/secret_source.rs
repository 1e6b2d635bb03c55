//! Secret variables of tasks: from the own environment or from files, never from the command line, which
//! everybody on the machine can read.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

/// Name of a secret variable, and the place of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    name: String,
    /// File with the value; absent, the own variable of that name has it.
    file: Option<PathBuf>,
}

/// A text that names no place of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME or NAME=@FILE: others on this machine can read what is on a command line")]
pub struct NoSecretSource;

/// Reason that a secret has no value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The own environment lacks it.
    #[error("there is no environment variable {name} to take the secret from")]
    NoVariable { name: String },
    /// The file cannot be read as text.
    #[error("cannot read the secret {name} in {}", path.display())]
    Unreadable { name: String, path: PathBuf, source: io::Error },
}

impl FromStr for SecretSource {
    type Err = NoSecretSource;

    fn from_str(text: &str) -> Result<Self, NoSecretSource> {
        let (name, file) = match text.split_once('=') {
            None => (text, None),
            Some((name, place)) => {
                let path = place.strip_prefix('@').filter(|path| !path.is_empty());
                (name, Some(PathBuf::from(path.ok_or(NoSecretSource)?)))
            }
        };
        if name.is_empty() {
            return Err(NoSecretSource);
        }
        Ok(Self { name: name.to_owned(), file })
    }
}

/// Reads secrets, with own variables through `variable`. Returns values by name.
///
/// # Errors
///
/// If a variable is not set, or a file cannot be read as text.
pub fn read(
    sources: Vec<SecretSource>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, SecretError> {
    let read = |SecretSource { name, file }| {
        let Some(path) = file else {
            let value = variable(&name);
            return match value {
                Some(value) => Ok((name, value)),
                None => Err(SecretError::NoVariable { name }),
            };
        };
        match std::fs::read_to_string(&path) {
            Ok(mut text) => {
                let len = text.strip_suffix('\n').unwrap_or(&text).len();
                text.truncate(len);
                Ok((name, text))
            }
            Err(source) => Err(SecretError::Unreadable { name, path, source }),
        }
    };
    sources.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SecretSource {
        text.parse().unwrap()
    }

    #[test]
    fn a_secret_comes_from_a_variable_or_a_file() {
        let path = std::env::temp_dir().join(format!("clusterctl-secret-{}", std::process::id()));
        std::fs::write(&path, "two\nlines\n").unwrap();
        let sources = vec![source("TOKEN"), source(&format!("KEY=@{}", path.display()))];
        let found = read(sources, |name| (name == "TOKEN").then(|| "hunter2".to_owned())).unwrap();
        std::fs::remove_file(&path).unwrap();
        let expected = [("KEY", "two\nlines"), ("TOKEN", "hunter2")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_secret_that_is_not_there_is_named_and_one_in_the_arguments_is_not_quoted() {
        let told = read(vec![source("TOKEN")], |_| None).unwrap_err().to_string();
        assert_eq!(told, "there is no environment variable TOKEN to take the secret from");
        for text in ["TOKEN=hunter2", "=@file", "", "TOKEN=@", "TOKEN="] {
            let refused = text.parse::<SecretSource>().unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
