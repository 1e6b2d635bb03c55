//! How the messages look in JSON where that differs from their fields.

use serde_json::Error;

use crate::v1;

/// The body of a submission: one task or several.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// An object.
    One(Box<v1::TaskSpec>),
    /// An array.
    Many(Vec<v1::TaskSpec>),
}

impl Submission {
    /// Reads the body; what it is decides its first character, so that errors name the field.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let is_array = body.trim_ascii_start().starts_with(b"[");
        if is_array {
            return serde_json::from_slice(body).map(Self::Many);
        }
        serde_json::from_slice(body).map(|task| Self::One(Box::new(task)))
    }

    /// All of the tasks.
    #[must_use]
    pub fn into_tasks(self) -> Vec<v1::TaskSpec> {
        match self {
            Self::One(task) => vec![*task],
            Self::Many(tasks) => tasks,
        }
    }
}

/// A list that is written as a single text where it has one element.
pub(crate) mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
        None,
    }

    pub(crate) fn serialize<S: Serializer>(values: &[String], to: S) -> Result<S::Ok, S::Error> {
        match values {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        Ok(match OneOrMany::deserialize(from)? {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
            OneOrMany::None => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_one_task_or_several() {
        let one = Submission::parse(br#"{"command": ["true"]}"#).unwrap();
        assert!(matches!(one, Submission::One(_)));
        let many = Submission::parse(b" \n[{\"command\": [\"true\"]}, {}]").unwrap();
        assert_eq!(many.into_tasks().len(), 2);
    }

    #[test]
    fn an_error_in_a_submission_names_the_field() {
        let error = Submission::parse(br#"[{"comand": []}]"#).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `comand`"), "{error}");
        let error = Submission::parse(br#"{"resources": {"ram": 1}}"#).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `ram`"), "{error}");
    }

    #[test]
    fn a_constraint_takes_one_value_several_or_none() {
        let values = |json: &str| serde_json::from_str::<v1::Constraint>(json).unwrap().value;
        assert_eq!(values(r#"{"label": "a", "op": "=", "value": "x"}"#), ["x"]);
        assert_eq!(values(r#"{"label": "a", "op": "in", "value": ["x", "y"]}"#), ["x", "y"]);
        assert!(values(r#"{"label": "a", "op": "exists"}"#).is_empty());
        assert!(values(r#"{"label": "a", "op": "exists", "value": null}"#).is_empty());
    }
}
