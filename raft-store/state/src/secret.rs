//! Secret texts, which nothing shows by accident.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// A text that no log, error or answer may hold. Only [`Self::reveal`] gives it away, so whoever needs
/// it says so; its encoding is for the disk and for other masters.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Box<str>);

impl SecretText {
    /// Returns the text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Names and secret values, ordered by name. As small as [`crate::TextMap`], and for the same reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretMap(Secrets);

type Secrets = Box<[(Box<str>, SecretText)]>;

/// Deserialization checks the order, as that of [`crate::TextMap`] does.
impl<'de> Deserialize<'de> for SecretMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let secrets = Secrets::deserialize(from)?;
        if !secrets.is_sorted_by(|(left, _), (right, _)| left < right) {
            return Err(D::Error::custom("names stand twice or out of order"));
        }
        Ok(Self(secrets))
    }
}

impl SecretMap {
    /// Returns whether there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &SecretText)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Returns the names.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Returns whether it still has a value that is not empty.
    #[must_use]
    pub fn has_values(&self) -> bool {
        self.0.iter().any(|(_, value)| !value.0.is_empty())
    }

    /// Returns the secrets without those of some names.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let stays = |(name, _): &&(Box<str>, SecretText)| !names.contains(&&**name);
        Self(self.0.iter().filter(stays).cloned().collect())
    }

    /// Returns the same names with empty values.
    #[must_use]
    pub fn without_values(&self) -> Self {
        Self(self.0.iter().map(|(name, _)| (name.clone(), SecretText::default())).collect())
    }
}

impl From<BTreeMap<String, String>> for SecretMap {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_given_away_by_nothing_but_its_name() {
        let map = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let secrets = SecretMap::from(map);
        assert_eq!(format!("{secrets:?}"), r#"SecretMap([("TOKEN", (secret))])"#);
        assert_eq!(
            secrets.iter().map(|(_, value)| value.reveal()).collect::<Vec<_>>(),
            ["hunter2"]
        );
        let emptied = secrets.without_values();
        assert_eq!(emptied.names().collect::<Vec<_>>(), ["TOKEN"]);
        assert_eq!((secrets.has_values(), emptied.has_values()), (true, false));
        assert_eq!(secrets.without(&["OTHER"]), secrets);
        assert!(secrets.without(&["OTHER", "TOKEN"]).is_empty());
    }
}
