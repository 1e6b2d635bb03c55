//! Parts of the description that all operations share: headers, problems, credentials, schemas.

use std::collections::BTreeMap;

use proto::problem::{ErrorKind, Outcome};
use proto::schema::SCHEMAS;
use serde_json::{Map, Value, json};

const DESCRIPTION: &str = "\
Runs tasks on a fleet of workers. Any master answers any request; writes and linearizable reads reach the \
leader by themselves.

A field that a description calls absent is null or left out. In a body that a client sends, null is the same \
as leaving the field out, and any other unknown field is refused by name. Times are RFC 3339 in UTC; durations are \
written as in `250ms`, `30s`, `5m`. A list may gain fields and an enum values in a later release.";

/// Headers by which an answer says on what state it is based. Those that are true are in every answer.
const HEADERS: [(&str, bool, &str); 7] = [
    ("X-Cluster-Id", false, "Id of the cluster, whose log an index belongs to."),
    ("X-Cluster-Index", true, "Index of the log that the answer is at least as new as."),
    ("X-Cluster-Term", true, "The newest term that the master knows."),
    ("X-Cluster-Leader", true, "Id of the leader, or `none`."),
    ("X-Cluster-Known-Leader", true, "`true` if a leader is known, else `false`."),
    (
        "X-Cluster-Last-Contact-Ms",
        false,
        "For a stale read: milliseconds since the master has heard from a leader.",
    ),
    ("X-Request-Id", true, "Id of the request: its own, or a drawn one."),
];

pub(super) fn info() -> Value {
    json!({
        "title": "CloudAI HA",
        "version": env!("CARGO_PKG_VERSION"),
        "description": DESCRIPTION,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    })
}

/// Returns the headers that every answer of an operation has.
pub(super) fn headers_of_answers() -> Map<String, Value> {
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    HEADERS.iter().map(|(name, ..)| ((*name).to_owned(), reference(name))).collect()
}

pub(super) fn components() -> Value {
    let headers = HEADERS.iter().map(|(name, is_required, description)| {
        let header = json!({
            "description": description, "required": is_required, "schema": {"type": "string"},
        });
        ((*name).to_owned(), header)
    });
    json!({
        "schemas": schemas(),
        "responses": problems(),
        "headers": headers.collect::<Map<_, _>>(),
        "securitySchemes": {
            "token": {
                "type": "http", "scheme": "bearer",
                "description": "A token of the cluster or of its identity provider.",
            },
            "certificate": {
                "type": "mutualTLS", "description": "A certificate of a user, a worker or a master.",
            },
        },
    })
}

fn schemas() -> Map<String, Value> {
    // It is made of the messages when the program is built, and a test reads it.
    let mut schemas = serde_json::from_str::<Map<_, _>>(SCHEMAS).unwrap_or_default();
    schemas.insert("Problem".to_owned(), problem());
    schemas
}

/// Schema of a problem (RFC 9457).
fn problem() -> Value {
    let kinds = ErrorKind::all().map(ErrorKind::uri).collect::<Vec<_>>();
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "Refusal or failure (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": kinds, "description": "Stable name of the error."},
            "title": text("The same for every problem of the type."),
            "status": {"type": "integer", "description": "Status of the answer."},
            "detail": text("Description of this occurrence, for people."),
            "errors": {
                "type": "array",
                "description": "Every single fault, where there are several or they have a place.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": text("JSON pointer (RFC 6901) into the body; empty for the whole."),
                        "detail": text("Description of the fault."),
                    },
                },
            },
            "outcome": {
                "type": "string",
                "enum": [Outcome::Rejected.name(), Outcome::Unknown.name()],
                "description": "Of a failed mutation. `rejected`: nothing happened. `unknown`: it may have taken \
                                effect, and repeating it under the same idempotency key shows.",
            },
            "request_id": text("Id of the request."),
        },
    })
}

/// Returns an answer for each status of a problem.
fn problems() -> Map<String, Value> {
    let mut kinds = BTreeMap::<u16, Vec<ErrorKind>>::new();
    for kind in ErrorKind::all() {
        kinds.entry(kind.http_status()).or_default().push(kind);
    }
    let described = kinds.into_iter().map(|(status, kinds)| {
        let meanings = kinds.iter().map(|kind| format!("* `{}`: {}", kind.name(), kind.title()));
        let mut headers = Map::new();
        if kinds.iter().any(|kind| kind.retry_after().is_some()) {
            let description = "Seconds after which the request may be repeated.";
            let schema = json!({"type": "integer"});
            let header = json!({"description": description, "schema": schema});
            headers.insert("Retry-After".to_owned(), header);
        }
        let response = json!({
            "description": meanings.collect::<Vec<_>>().join("\n"),
            "headers": headers,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        });
        (status.to_string(), response)
    });
    described.collect()
}
