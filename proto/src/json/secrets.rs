//! Reads secret variables. What is wrong with them is said without what they are.

use std::collections::BTreeMap;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Secrets {
    Texts(BTreeMap<String, String>),
    /// Kept nowhere, because serde's own errors quote values.
    Other(IgnoredAny),
}

/// Deserializes secret variables, values by name.
pub(crate) fn secrets<'de, D>(from: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    match Secrets::deserialize(from)? {
        Secrets::Texts(texts) => Ok(texts),
        Secrets::Other(IgnoredAny) => {
            Err(D::Error::custom("secret variables are texts by name, as in {\"TOKEN\": \"...\"}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Submission;

    #[test]
    fn a_secret_of_another_shape_is_not_quoted() {
        for wrong in
            [r#""hunter2""#, r#"{"PIN": 4711}"#, r#"{"A": "hunter2", "B": ["hunter2"]}"#, "4711"]
        {
            let body = format!(r#"{{"command": ["true"], "secret_env": {wrong}}}"#);
            let misread = Submission::parse(body.as_bytes()).unwrap_err();
            assert_eq!(misread.pointer, "/secret_env");
            let told = misread.to_string();
            assert!(told.starts_with("secret variables are texts by name"), "{told}");
            assert!(!told.contains("hunter2") && !told.contains("4711"), "{told}");
        }
    }

    #[test]
    fn secrets_are_read_by_name_and_absent_if_null() {
        let read = |body: &str| Submission::parse(body.as_bytes()).unwrap().into_tasks().remove(0);
        assert_eq!(read(r#"{"secret_env": {"A": "x"}}"#).secret_env["A"], "x");
        assert_eq!(read(r#"{"secret_env": null}"#).secret_env.len(), 0);
    }
}
