//! Describes JSON that cannot be read, and where the fault is.

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::Error;
use serde_path_to_error::{Path, Segment};

use crate::convert::member;
use crate::problem::{ErrorKind, Fault, Outcome, Problem};

/// A text that is not JSON, or JSON of another shape.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Misread {
    /// JSON pointer of the fault; empty if the text is not JSON.
    pub pointer: String,
    cause: Error,
}

impl Misread {
    /// Finds the fault for which a text could not be read as a `T`.
    pub(super) fn new<T: DeserializeOwned>(text: &[u8], cause: Error) -> Self {
        let again = &mut serde_json::Deserializer::from_slice(text);
        let pointer = if cause.is_data() { pointer::<T, _>(again) } else { String::new() };
        Self { pointer, cause }
    }
}

fn pointer<'a, T: DeserializeOwned, D: Deserializer<'a>>(from: D) -> String {
    let error = serde_path_to_error::deserialize::<_, T>(from).err();
    error.map(|error| written(error.path())).unwrap_or_default()
}

fn written(path: &Path) -> String {
    path.iter().fold(String::new(), |at, segment| match segment {
        Segment::Seq { index } => format!("{at}/{index}"),
        Segment::Map { key } => member(&at, key),
        // Neither is a place of its own.
        Segment::Enum { .. } | Segment::Unknown => at,
    })
}

impl From<Misread> for Problem {
    fn from(misread: Misread) -> Self {
        let detail = misread.to_string();
        // serde has no typed form of this error; its text begins the same way for every type.
        let kind = if detail.starts_with("unknown field") {
            ErrorKind::UnknownField
        } else {
            ErrorKind::Malformed
        };
        let fault = Fault { pointer: misread.pointer, detail: detail.clone() };
        let has_place = !fault.pointer.is_empty();
        Self {
            errors: has_place.then_some(fault).into_iter().collect(),
            ..Self::new(kind, detail).with_outcome(Outcome::Rejected)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;
    use crate::v1;

    #[test]
    fn an_unknown_field_is_told_from_broken_json() {
        let kind =
            |text: &str| Problem::from(read::<v1::TaskSpec>(text.as_bytes()).unwrap_err()).kind;
        assert_eq!(kind(r#"{"comand": []}"#), ErrorKind::UnknownField);
        assert_eq!(kind("{"), ErrorKind::Malformed);
        assert_eq!(kind(r#"{"priority": "high"}"#), ErrorKind::Malformed);
    }

    #[test]
    fn a_fault_is_pointed_at() {
        let told = |text: &str| {
            let problem = Problem::from(read::<v1::TaskSpec>(text.as_bytes()).unwrap_err());
            assert_eq!(problem.outcome, Some(Outcome::Rejected));
            problem.errors
        };
        for (text, pointer) in [
            (r#"{"comand": []}"#, "/comand"),
            (r#"{"resources": {"cpu": 1, "ram": 1}}"#, "/resources/ram"),
            (r#"{"constraints": [{}, {"op": "=", "a/b~": 1}]}"#, "/constraints/1/a~1b~0"),
            (r#"{"command": ["true", 7]}"#, "/command/1"),
            (r#"{"env": {"A/B": 1}}"#, "/env/A~1B"),
            (r#"{"priority": "high"}"#, "/priority"),
        ] {
            let faults = told(text);
            assert_eq!(faults.len(), 1, "{text}");
            assert_eq!(faults[0].pointer, pointer, "{text}");
            assert!(!faults[0].detail.is_empty());
        }
        assert_eq!(told("{"), [], "what is no JSON has no place but the one that its text names");
        assert_eq!(told("7"), [], "the whole is no place either");
    }
}
