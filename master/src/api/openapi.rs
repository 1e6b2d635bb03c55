//! The description of the API (OpenAPI 3.1), made of the routes, of the types that their handlers read,
//! and of the messages that they answer with.

mod cluster;
mod observation;
mod operation;
mod parameters;
mod shared;
mod tasks;
mod workers;

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use self::operation::{Answered, Operation};
use super::inputs::Input;
use super::routes::Route;
use crate::access::{Action, Need, need};

/// `GET /api/openapi.json`.
pub(super) async fn show() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| document(&super::list()).to_string().into());
    let media_type = [(header::CONTENT_TYPE, "application/json")];
    (media_type, Body::from(TEXT.clone())).into_response()
}

/// Returns every description of an operation.
fn operations() -> Vec<Operation> {
    let mut all = tasks::operations();
    all.extend(workers::operations());
    all.extend(cluster::operations());
    all.extend(observation::operations());
    all
}

/// Returns true if a route is part of the API, and not a page.
fn is_described(route: &Route) -> bool {
    route.action != Action::LoadPages || route.path.starts_with("/api/")
}

/// Makes the document for these routes.
fn document(routes: &[Route]) -> Value {
    let operations = operations();
    let mut paths = Map::new();
    for route in routes.iter().filter(|route| is_described(route)) {
        let is_its_own = |one: &&Operation| one.method == route.method && one.path == route.path;
        let Some(operation) = operations.iter().find(is_its_own) else { continue };
        let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            let method = route.method.as_str().to_ascii_lowercase();
            methods.insert(method, described(route, operation));
        }
    }

    json!({
        "openapi": "3.1.0",
        "info": shared::info(),
        "servers": [{"url": "/", "description": "The master that is asked; any of them will do."}],
        // Each master's own configuration says which callers need none.
        "security": [{"token": []}, {"certificate": []}, {}],
        "paths": paths,
        "components": shared::components(),
    })
}

fn described(route: &Route, operation: &Operation) -> Value {
    let mut parameters = operation.parameters.clone();
    for input in &route.inputs {
        match input {
            Input::Id => parameters.push(parameters::of_path(&route.path)),
            Input::Query(field) => parameters.extend(parameters::of_query(&route.path, field)),
            Input::Body => {}
        }
    }

    let mut responses = Map::new();
    for status in problems(route, operation) {
        let response = json!({"$ref": format!("#/components/responses/{status}")});
        responses.insert(status.to_string(), response);
    }
    for answer in &operation.answers {
        responses.insert(answer.status.to_string(), answered(answer));
    }

    let mut found = Map::new();
    found.insert("operationId".to_owned(), operation.name.into());
    found.insert("tags".to_owned(), json!([tag(&route.path)]));
    found.insert("summary".to_owned(), operation.summary.into());
    let details = operation.details.into_iter().map(str::to_owned).chain(standing(route.action));
    let details = details.collect::<Vec<_>>().join("\n\n");
    if !details.is_empty() {
        found.insert("description".to_owned(), details.into());
    }
    if !parameters.is_empty() {
        found.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(schema) = &operation.body {
        let content = json!({"application/json": {"schema": schema}});
        found.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    if matches!(need(route.action), Need::Nothing | Need::Anyone) {
        found.insert("security".to_owned(), json!([{}]));
    }
    found.insert("responses".to_owned(), responses.into());
    Value::Object(found)
}

/// Says which standing a caller needs.
fn standing(action: Action) -> Option<String> {
    match need(action) {
        Need::Role(role) => Some(format!("Needs the role {role}, or a higher one.")),
        Need::Nothing | Need::Anyone => None,
        Need::Worker => Some("For workers.".to_owned()),
        Need::Master => Some("For masters.".to_owned()),
    }
}

/// Returns the statuses with which it may be refused.
fn problems(route: &Route, operation: &Operation) -> Vec<u16> {
    if route.action == Action::Probe {
        return vec![400];
    }
    let mut statuses = vec![400, 401, 403, 422, 429, 503, 504];
    let takes_index = |input: &Input| matches!(input, Input::Query(field) if field.name == "index");
    if route.inputs.contains(&Input::Id) {
        statuses.push(404);
    }
    if route.method != Method::GET || route.inputs.iter().any(takes_index) {
        statuses.push(409);
    }
    if route.inputs.contains(&Input::Body) {
        statuses.extend([408, 413, 415]);
    }
    statuses.extend(&operation.problems);
    statuses
}

fn answered(answer: &Answered) -> Value {
    let mut headers = shared::headers_of_answers();
    for (name, description) in &answer.headers {
        let header = json!({"description": description, "schema": {"type": "string"}});
        headers.insert((*name).to_owned(), header);
    }
    let mut found = Map::new();
    found.insert("description".to_owned(), answer.description.into());
    found.insert("headers".to_owned(), headers.into());
    if let Some((media_type, schema)) = &answer.content {
        found.insert("content".to_owned(), json!({*media_type: {"schema": schema}}));
    }
    Value::Object(found)
}

/// Returns the group of operations that a path belongs to.
fn tag(path: &str) -> &str {
    let mut segments = path.split('/').skip(1);
    match (segments.next(), segments.next()) {
        (Some("api"), Some("openapi.json")) | (_, None) => "observation",
        (Some("api"), Some(noun)) => noun,
        (Some(_) | None, Some(_)) => "observation",
    }
}

#[cfg(test)]
mod tests;
