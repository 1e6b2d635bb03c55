//! `/api/cluster/config`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use cluster_state::SettingKey;
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;
use serde_json::{Map, Value};

use super::Api;
use super::answer::Refusal;
use super::input::{self, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::wire;

/// The settings, with the index of the last change as their tag.
type Tagged = ([(HeaderName, String); 1], Answer<v1::ClusterConfig>);

/// Values by the paths of settings.
type Values = BTreeMap<String, String>;

/// `GET /api/cluster/config`.
pub(super) async fn show(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Tagged, Refusal> {
    Ok(tagged(
        api.operations.settings(params.reading()?).await?.map(|record| wire::config(&record)),
    ))
}

/// `PUT /api/cluster/config`: changes the settings that the body names.
pub(super) async fn change(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Tagged, Refusal> {
    let if_index = index_to_match(&headers)?;
    let body = input::json_body(&api, &headers, body).await?;
    let request = v1::SetConfigRequest { values: values(input::from_json(&body)?)?, if_index };
    let change = wire::settings_change(request);
    let changed = api.operations.set_settings(change, &caller).await?;
    Ok(tagged(changed.map(|record| wire::config(&record))))
}

fn tagged(answer: Answer<v1::ClusterConfig>) -> Tagged {
    ([(header::ETAG, format!("\"{}\"", answer.body.index))], answer)
}

/// Reads `If-Match`: the index of the last change, in quotes or without.
fn index_to_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let index = text.trim_matches('"').parse();
    let detail = "If-Match is not the index of a change of the settings, such as \"42\"";
    index.map(Some).map_err(|_| malformed(detail))
}

/// Flattens a body, which names settings by their paths, or within their sections as the configuration
/// file does. Values are numbers, booleans, or written as a flag takes them.
fn values(body: Map<String, Value>) -> Result<Values, Problem> {
    let mut values = Values::new();
    for (name, value) in body {
        match value {
            Value::Object(section) if SettingKey::at(&name).is_none() => {
                for (rest, value) in section {
                    put(&mut values, format!("{name}.{rest}"), value)?;
                }
            }
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => put(&mut values, name, value)?,
        }
    }
    Ok(values)
}

fn put(values: &mut Values, path: String, value: Value) -> Result<(), Problem> {
    let text = match value {
        // As everywhere, this is the same as saying nothing.
        Value::Null => return Ok(()),
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(choice) => choice.to_string(),
        Value::Object(pairs) => {
            let pair = |(name, value): (String, Value)| Some(format!("{name}={}", value.as_str()?));
            let pairs = pairs.into_iter().map(pair).collect::<Option<Vec<_>>>();
            pairs.ok_or_else(|| misshapen(&path))?.join(",")
        }
        Value::Array(_) => return Err(misshapen(&path)),
    };
    match values.entry(path) {
        Entry::Vacant(vacant) => {
            vacant.insert(text);
            Ok(())
        }
        Entry::Occupied(known) => Err(malformed(format!("{} is given twice", known.key()))),
    }
}

fn misshapen(path: &str) -> Problem {
    malformed(format!("{path} is neither a text nor a number nor a boolean"))
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ErrorKind::Malformed, detail).with_outcome(Outcome::Rejected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Vec<(String, String)>, String> {
        let body = serde_json::from_value(body).unwrap();
        values(body).map(|values| values.into_iter().collect()).map_err(|problem| problem.detail)
    }

    #[test]
    fn a_body_names_settings_by_path_or_by_section() {
        let pair = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        assert_eq!(
            read(json!({
                "worker.lease": "10m",
                "retention": {"tasks": 7, "age": null},
                "reconnect": {"enabled": false, "intervals_by_priority": {"high": "5s"}},
                "wombat": 1,
            })),
            Ok(vec![
                pair("reconnect.enabled", "false"),
                pair("reconnect.intervals_by_priority", "high=5s"),
                pair("retention.tasks", "7"),
                pair("wombat", "1"),
                pair("worker.lease", "10m"),
            ])
        );
    }

    #[test]
    fn a_body_of_another_shape_is_malformed() {
        assert_eq!(
            read(json!({"worker": {"lease": ["10m"]}})),
            Err("worker.lease is neither a text nor a number nor a boolean".to_owned())
        );
        assert_eq!(
            read(json!({"worker": {"lease": "10m"}, "worker.lease": "9m"})),
            Err("worker.lease is given twice".to_owned())
        );
    }
}
