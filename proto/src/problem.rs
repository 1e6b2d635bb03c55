//! A master's answer to a request that failed: one shape for REST (RFC 9457) and for gRPC, with
//! stable names that clients may act on.

mod kind;
mod rejection;
mod status;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use kind::ErrorKind;
pub use status::{ERROR_KIND_KEY, ERRORS_KEY, LEADER_ADDRESS_KEY, OUTCOME_KEY, REQUEST_ID_KEY};

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the request; empty for the whole.
    pub pointer: String,
    /// Description of the fault.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            return f.write_str(&self.detail);
        }
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

/// Effect of a failed mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing happened.
    Rejected,
    /// It may have taken effect: repeating it under the same idempotency key shows.
    Unknown,
}

impl Outcome {
    /// Returns its name in JSON and metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Rejected, Self::Unknown].into_iter().find(|outcome| outcome.name() == name)
    }
}

/// A refusal or a failure, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(into = "Body", from = "Body")]
#[error("{detail}")]
pub struct Problem {
    /// Stable name of the error.
    pub kind: ErrorKind,
    /// Description of this occurrence, for people.
    pub detail: String,
    /// Every single fault, where there are several or they have a place.
    pub errors: Vec<Fault>,
    /// Outcome of a mutation.
    pub outcome: Option<Outcome>,
    /// Id of the request, which the log of the master and the trail have, too.
    pub request_id: Option<Box<str>>,
}

impl Problem {
    /// Media type of the JSON form.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// Creates a problem without a list of faults and not about a mutation.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), outcome: None, request_id: None }
    }

    /// Adds the outcome of the mutation.
    #[must_use]
    pub fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// Adds the id of the request.
    #[must_use]
    pub fn of_request(self, id: impl fmt::Display) -> Self {
        Self { request_id: Some(id.to_string().into()), ..self }
    }
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(rename = "type")]
    type_uri: String,
    title: String,
    status: u16,
    detail: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<Box<str>>,
}

impl From<Problem> for Body {
    fn from(problem: Problem) -> Self {
        Self {
            type_uri: problem.kind.uri(),
            title: problem.kind.title().to_owned(),
            status: problem.kind.http_status(),
            detail: problem.detail,
            errors: problem.errors,
            outcome: problem.outcome,
            request_id: problem.request_id,
        }
    }
}

impl From<Body> for Problem {
    fn from(body: Body) -> Self {
        let kind = ErrorKind::from_uri(&body.type_uri)
            .unwrap_or_else(|| ErrorKind::from_http_status(body.status));
        let Body { detail, errors, outcome, request_id, .. } = body;
        Self { kind, detail, errors, outcome, request_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_back_from_its_json_form() {
        let problem = Problem {
            kind: ErrorKind::InvalidTask,
            detail: "the task is not valid".to_owned(),
            errors: vec![Fault { pointer: "/priority".to_owned(), detail: "too high".to_owned() }],
            outcome: Some(Outcome::Rejected),
            request_id: Some("r-1".into()),
        };
        let json = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": "urn:cloudai:error:invalid-task", "title": "The task is not valid",
            "status": 422, "detail": "the task is not valid",
            "errors": [{"pointer": "/priority", "detail": "too high"}], "outcome": "rejected",
            "request_id": "r-1",
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }
}
