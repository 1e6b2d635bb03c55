//! Description of one operation: what a client has to know beyond what the code says by itself.

use axum::http::Method;
use proto::schema::JsonBody;
use serde_json::{Value, json};

/// Description of a route.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Name by which generated clients call it.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) details: Option<&'static str>,
    /// Schema of the body that it takes.
    pub(super) body: Option<Value>,
    pub(super) answers: Vec<Answered>,
    /// Parameters that the types of the handler do not tell of: headers, and queries that it reads itself.
    pub(super) parameters: Vec<Value>,
    /// Statuses of problems, beside those that follow from what it takes.
    pub(super) problems: Vec<u16>,
}

/// An answer that is no problem.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// Media type and schema; none without a body.
    pub(super) content: Option<(&'static str, Value)>,
    /// Headers beside those of every answer, with their descriptions.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

const JSON: &str = "application/json";

impl Operation {
    fn new(method: Method, path: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            name,
            summary,
            details: None,
            body: None,
            answers: Vec::new(),
            parameters: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn get(path: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self::new(Method::GET, path, name, summary)
    }

    pub(super) fn post(path: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self::new(Method::POST, path, name, summary)
    }

    pub(super) fn put(path: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self::new(Method::PUT, path, name, summary)
    }

    pub(super) fn delete(path: &'static str, name: &'static str, summary: &'static str) -> Self {
        Self::new(Method::DELETE, path, name, summary)
    }

    /// Says more than the summary.
    pub(super) fn details(self, details: &'static str) -> Self {
        Self { details: Some(details), ..self }
    }

    /// Takes a body of JSON.
    pub(super) fn takes(self, schema: Value) -> Self {
        Self { body: Some(schema), ..self }
    }

    /// Answers 200 with a message.
    pub(super) fn shows<T: JsonBody>(self) -> Self {
        self.answers(200, "The answer.", one::<T>())
    }

    /// Answers with JSON.
    pub(super) fn answers(self, status: u16, description: &'static str, schema: Value) -> Self {
        self.with(status, description, Some((JSON, schema)))
    }

    /// Answers without a body.
    pub(super) fn answers_nothing(self, status: u16, description: &'static str) -> Self {
        self.with(status, description, None)
    }

    /// Answers 200 with something else than JSON.
    pub(super) fn sends(self, media_type: &'static str, description: &'static str) -> Self {
        self.with(200, description, Some((media_type, json!({"type": "string"}))))
    }

    /// Answers 503 with a text.
    pub(super) fn sends_failure(self, description: &'static str) -> Self {
        self.with(503, description, Some(("text/plain", json!({"type": "string"}))))
    }

    /// Has a header in the answer that was named last.
    pub(super) fn with_header(mut self, name: &'static str, description: &'static str) -> Self {
        if let Some(last) = self.answers.last_mut() {
            last.headers.push((name, description));
        }
        self
    }

    /// May be repeated under an idempotency key.
    pub(super) fn keyed(self) -> Self {
        let description = "Key under which the request may be repeated for 24 hours without further effect: up to \
                           255 printable ASCII characters. The same key with another body is refused (409).";
        self.reads_header("Idempotency-Key", description)
    }

    pub(super) fn reads_header(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "description": description, "schema": {"type": "string"},
        }));
        self
    }

    /// Takes a parameter that its handler reads without a type of its own.
    pub(super) fn reads_query(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "description": description, "schema": {"type": "string"},
        }));
        self
    }

    /// Is also refused with these statuses.
    pub(super) fn fails(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    fn with(
        mut self,
        status: u16,
        description: &'static str,
        content: Option<(&'static str, Value)>,
    ) -> Self {
        self.answers.push(Answered { status, description, content, headers: Vec::new() });
        self
    }
}

/// Schema of a message.
pub(super) fn one<T: JsonBody>() -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::NAME)})
}

/// Schema of a message, or of a list of them.
pub(super) fn one_or_many<T: JsonBody>() -> Value {
    json!({"oneOf": [one::<T>(), {"type": "array", "items": one::<T>()}]})
}

/// Schema of unknown fields in a body: they are refused unless they are null, which is the same as absent.
pub(super) fn unknown() -> Value {
    json!({"type": "null"})
}
