//! Conditions on a worker's labels.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Limits;

/// One condition that a worker's labels must meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Constraint {
    /// The label's key.
    pub label: String,
    /// Condition on its value.
    pub op: ConstraintOp,
}

/// Condition on the value of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConstraintOp {
    /// The label is present and has this value.
    Equals(String),
    /// The label is absent or has another value.
    NotEquals(String),
    /// The label is present and has one of these values.
    In(Vec<String>),
    /// The label is present.
    Exists,
}

impl Constraint {
    /// Returns the bytes of memory that it takes, by the same account as [`crate::Task::bytes`].
    pub(crate) fn bytes(&self) -> u64 {
        let text = |text: &String| text.len() as u64 + Limits::TEXT_BYTES;
        let values = match &self.op {
            ConstraintOp::Equals(value) | ConstraintOp::NotEquals(value) => text(value),
            ConstraintOp::In(values) => values.iter().map(text).sum(),
            ConstraintOp::Exists => 0,
        };
        text(&self.label) + values
    }

    /// Returns whether a label with this value, or its absence, meets the condition.
    pub(crate) fn accepts(&self, value: Option<&str>) -> bool {
        match &self.op {
            ConstraintOp::Equals(wanted) => value == Some(wanted),
            ConstraintOp::NotEquals(unwanted) => value != Some(unwanted),
            ConstraintOp::In(wanted) => {
                value.is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
            }
            ConstraintOp::Exists => value.is_some(),
        }
    }
}

impl fmt::Display for Constraint {
    /// Writes it as in `zone = a`, `zone != a`, `zone in (a, b)` and `zone exists`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.op {
            ConstraintOp::Equals(value) => write!(f, "{label} = {value}"),
            ConstraintOp::NotEquals(value) => write!(f, "{label} != {value}"),
            ConstraintOp::In(values) => write!(f, "{label} in ({})", values.join(", ")),
            ConstraintOp::Exists => write!(f, "{label} exists"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_label_meets_only_not_equals() {
        let ops = || {
            let a = || "a".to_owned();
            [
                ConstraintOp::Equals(a()),
                ConstraintOp::NotEquals(a()),
                ConstraintOp::In(vec![a(), "b".to_owned()]),
                ConstraintOp::In(Vec::new()),
                ConstraintOp::Exists,
            ]
        };
        let met = |zone: Option<&str>| {
            ops().map(|op| Constraint { label: "zone".to_owned(), op }.accepts(zone))
        };

        assert_eq!(met(None), [false, true, false, false, false]);
        assert_eq!(met(Some("a")), [true, false, true, false, true]);
        assert_eq!(met(Some("b")), [false, true, true, false, true]);
        assert_eq!(met(Some("c")), [false, true, false, false, true]);
    }
}
