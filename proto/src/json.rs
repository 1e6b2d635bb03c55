//! JSON forms of the messages where they differ from the fields.

pub(crate) mod exit_codes;
mod misread;
mod names;
mod nulls;
pub(crate) mod payload;
mod reading;
mod secrets;

use std::fmt;
use std::marker::PhantomData;

use cluster_state::Limits;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use self::misread::Misread;
pub(crate) use self::names::{Name, Names, OptionalName};
pub use self::reading::read;
pub(crate) use self::secrets::secrets;
use crate::convert::CONSTRAINTS_MAX;
use crate::v1;

/// Body of a submission: one task or several.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// An object.
    One(Box<v1::TaskSpec>),
    /// An array. One that is too long has one task more than a submission may have.
    Many(Vec<v1::TaskSpec>),
}

impl Submission {
    /// Parses the body; its first character decides its kind, so that errors name the field. A
    /// field that is null counts as absent, whether it is known or not.
    pub fn parse(body: &[u8]) -> Result<Self, Misread> {
        if body.trim_ascii_start().starts_with(b"[") {
            let tasks = read::<Bounded<_, { Limits::NEWEST.tasks_per_submit_max }>>(body);
            return tasks.map(|Bounded(tasks)| Self::Many(tasks));
        }
        read(body).map(|task| Self::One(Box::new(task)))
    }

    /// Returns all of the tasks.
    #[must_use]
    pub fn into_tasks(self) -> Vec<v1::TaskSpec> {
        match self {
            Self::One(task) => vec![*task],
            Self::Many(tasks) => tasks,
        }
    }
}

/// A list that keeps no more elements than show that it is too long: an element of three bytes
/// takes hundreds in memory.
#[derive(Debug)]
struct Bounded<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(BoundedVisitor(PhantomData))
    }
}

struct BoundedVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedVisitor<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while list.len() <= MAX {
            let Some(element) = elements.next_element()? else { return Ok(Bounded(list)) };
            list.push(element);
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Bounded(list))
    }
}

/// Deserializes the constraints of a task: as many as it may have, and one more if there are too
/// many.
pub(crate) fn constraints<'de, D>(from: D) -> Result<Vec<v1::Constraint>, D::Error>
where
    D: Deserializer<'de>,
{
    Bounded::<_, CONSTRAINTS_MAX>::deserialize(from).map(|Bounded(constraints)| constraints)
}

/// Serializes a list as a single text if it has one element.
pub(crate) mod one_or_many {
    use std::fmt;

    use serde::de::value::SeqAccessDeserializer;
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(values: &[String], to: S) -> Result<S::Ok, S::Error> {
        match values {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        from.deserialize_any(OneOrMany)
    }

    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: Error>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_unit<E: Error>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, many: A) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(many))
        }
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
    fn a_field_that_is_null_is_absent() {
        let body = br#"{ "name": null, "command": ["true"], "image": null, "env": null,
            "working_dir": null, "resources": {"cpu": null, "gpu": 0, "custom": null},
            "constraints": [{"label": "zone", "op": "exists", "value": null}], "priority": null,
            "worker_id": null, "queue_timeout": null, "delay": null, "no_retry_exit_codes": null,
            "after": null, "labels": null }"#;
        let single = Submission::parse(body).unwrap().into_tasks();
        let listed = Submission::parse(&[b"[".as_slice(), body, b"]"].concat()).unwrap();
        assert_eq!(single, listed.into_tasks());
        assert_eq!(single[0].command, ["true"]);
        assert_eq!(single[0].resources.as_ref().unwrap().gpu, Some(0));

        for (body, field) in [
            (r#"{"image": null, "comand": []}"#, "unknown field `comand`"),
            (r#"{"command": null, "env": {"K": null}}"#, "invalid type: null"),
            (r#"[{"name": null, "image": "a"}]"#, "unknown field `image`"),
        ] {
            let error = Submission::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn of_a_list_that_is_too_long_only_the_beginning_is_kept() {
        let long = format!("[{}{{}}]", "{},".repeat(2_000_000));
        let tasks = Submission::parse(long.as_bytes()).unwrap().into_tasks();
        assert_eq!(tasks.len(), Limits::NEWEST.tasks_per_submit_max + 1);
        let broken = Submission::parse(long.trim_end_matches(']').as_bytes());
        assert!(broken.unwrap_err().to_string().starts_with("EOF"));
    }

    #[test]
    fn of_too_many_constraints_only_the_beginning_is_kept() {
        let body = format!(r#"{{"constraints": [{}{{}}]}}"#, "{},".repeat(1_000_000));
        let tasks = Submission::parse(body.as_bytes()).unwrap().into_tasks();
        assert_eq!(tasks[0].constraints.len(), CONSTRAINTS_MAX + 1);
    }

    #[test]
    fn the_operands_of_a_constraint_are_a_text_or_a_list() {
        let read = |value: &str| {
            let body = format!(r#"{{"constraints": [{{"value": {value}}}]}}"#);
            Submission::parse(body.as_bytes())
                .map(|read| read.into_tasks().remove(0).constraints.remove(0).value)
        };
        assert_eq!(read(r#""a""#).unwrap(), ["a"]);
        assert_eq!(read(r#"["a", "b"]"#).unwrap(), ["a", "b"]);
        assert_eq!(read("[]").unwrap(), [""; 0]);
        let misread = read("5").unwrap_err();
        assert_eq!(misread.pointer, "/constraints/0/value");
        assert!(misread.to_string().contains("expected a text or a list of texts"), "{misread}");
        assert_eq!(read(r#"["a", 5]"#).unwrap_err().pointer, "/constraints/0/value/1");
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
