//! Ids of what is printed, for programs that go on with them.

use serde_json::Value;

/// Fields that are ids, each before those that name another thing.
const IDS: [&str; 7] =
    ["task_id", "job_id", "orphan_id", "token_id", "worker_id", "leader_id", "name"];

/// Returns the id of one thing, or those of a list, each on a line of its own; none if it has no ids.
pub(super) fn of(data: &Value) -> Option<String> {
    let ids = match data {
        Value::Array(list) => list.iter().map(id).collect::<Option<Vec<_>>>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            id(data).map(|id| vec![id])
        }
    };
    ids.map(|ids| ids.join("\n"))
}

fn id(thing: &Value) -> Option<String> {
    let found = IDS.iter().find_map(|field| thing.get(field))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thing_is_named_by_its_own_id() {
        let tasks = json!([{"task_id": "t2", "name": "x"}, {"task_id": "t1", "worker_id": "w1"}]);
        assert_eq!(of(&tasks).as_deref(), Some("t2\nt1"));
        assert_eq!(of(&json!([])).as_deref(), Some(""));
        assert_eq!(of(&json!({"leader_id": 2, "term": 7})).as_deref(), Some("2"));
        assert_eq!(of(&json!({"healthy": true})), None);
        assert_eq!(of(&json!([{"job_id": "j7"}, {}])), None);
    }
}
