//! A small immutable map of texts.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Names and values, ordered by name. Each of a million live tasks holds two of these, mostly empty
/// or with one entry, for which a tree's node would take half a kilobyte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TextMap(Texts);

type Texts = Box<[(Box<str>, Box<str>)]>;

/// Deserialization checks the order: names out of order would not be found.
impl<'de> Deserialize<'de> for TextMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = Texts::deserialize(from)?;
        if !texts.is_sorted_by(|(left, _), (right, _)| left < right) {
            return Err(D::Error::custom("names stand twice or out of order"));
        }
        Ok(Self(texts))
    }
}

impl TextMap {
    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// Returns names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns a copy as a map that can change.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl From<BTreeMap<String, String>> for TextMap {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_map_holds_what_the_map_held() {
        let map = [("b", "2"), ("a", "1"), ("c", "")];
        let map = map.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = BTreeMap::from(map);
        let texts = TextMap::from(map.clone());

        assert_eq!(texts.to_map(), map);
        assert_eq!((texts.get("a"), texts.get("c"), texts.get("d")), (Some("1"), Some(""), None));
    }
}
