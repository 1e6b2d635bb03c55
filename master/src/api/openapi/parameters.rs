//! Parameters of queries and paths: their meanings, which are the same wherever a name occurs.

use serde_json::{Value, json};

use super::super::inputs::{Field, Kind};

/// Meanings by name. A name with a path before it has another meaning there.
const MEANINGS: [(&str, &str); 34] = [
    ("action", "Kind of order, as in `register-worker`; absent, any."),
    ("attempt", "Number of the attempt; absent, the last one or, with `follow`, all from one on."),
    (
        "consistency",
        "Freshness of the answer. `linearizable`: as new as every write that was acknowledged before; \
         `stale`: what this master knows, without a leader, too.",
    ),
    ("count", "Number of times, up to 1,000; 5 when absent."),
    ("cursor", "`next_cursor` of the page before; absent for the first page."),
    ("follow", "True to go on as the task writes, until it is over."),
    ("force", "True to do it although it is refused otherwise for the sake of safety."),
    (
        "from_attempt",
        "With `follow` and no `attempt`: number of the attempt to begin with; 0, the last.",
    ),
    (
        "index",
        "Wait until the cluster's log has passed this index, as `X-Cluster-Index` of an earlier answer has it.",
    ),
    ("label", "Label that tasks must have, `KEY=VALUE` or `KEY`; absent, any."),
    ("limit", "Most elements on the page."),
    ("max_lag", "Most entries of the log by which the follower may be behind; 1,000 when absent."),
    ("name_prefix", "Beginning of the name; absent, any."),
    ("object", "Beginning of the name of the thing that the order is about, as in `worker/`."),
    ("order", "`newest` or `oldest` first; `newest` when absent."),
    (
        "outcome",
        "`begun`, `done`, `rejected` or `unknown`, or the reason of a refusal; absent, any.",
    ),
    ("principal", "Who gave the order, as in `user:ada`; absent, anybody."),
    ("priority", "Priority from 0 to 100; absent, any."),
    ("since", "Earliest time, RFC 3339, inclusive; absent, any."),
    ("state", "States, with commas between them, one of which tasks must have; absent, any."),
    ("stream", "Stream to read; absent, both."),
    ("tail", "Number of lines at the end of the first attempt that is shown; absent, all."),
    ("timeout", "Longest time to wait, as in `30s`, up to `10m`; `60s` when absent."),
    ("until", "Latest time, RFC 3339, exclusive; absent, any."),
    ("up_to", "Id of the last orphaned result that was seen."),
    ("verbose", "Lists what is checked."),
    ("wait", "With `index`: longest time to wait, as in `30s`, up to `10m`; `30s` when absent."),
    ("worker", "Name of the worker of the last attempt; absent, any."),
    ("/api/workers/{id}/drain timeout", "Time for running tasks to end, as in `5m`; absent, any."),
    ("/api/tasks/{id}", "Id of the task, as in `t17`."),
    ("/api/jobs/{id}", "Id of the job, as in `j4711`."),
    ("/api/schedules/{id}", "Name of the schedule."),
    ("/api/workers/{id}", "Name of the worker."),
    ("/api/cluster/members/{id}", "Name of the master."),
];

/// Values of parameters that have only a few; an empty one is the default, as if the parameter were absent.
const VALUES: [(&str, &[&str]); 3] = [
    ("consistency", &["linearizable", "stale", ""]),
    ("order", &["newest", "oldest"]),
    ("stream", &["stdout", "stderr", ""]),
];

fn meaning(name: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
}

/// Describes the id in a path.
pub(super) fn of_path(path: &str) -> Value {
    let thing = path.split_inclusive("{id}").next().unwrap_or_default();
    let description = meaning(thing).unwrap_or("Id, as a list shows it.");
    json!({
        "name": "id", "in": "path", "required": true, "description": description,
        "schema": {"type": "string", "minLength": 1},
    })
}

/// Describes a parameter of a query; nothing if nobody has said what it means.
pub(super) fn of_query(path: &str, field: &Field) -> Option<Value> {
    let Field { name, kind, is_required } = field;
    let description = meaning(&format!("{path} {name}")).or_else(|| meaning(name))?;
    let mut schema = match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
    };
    if let Some((_, values)) = VALUES.iter().find(|(known, _)| known == name) {
        schema = json!({"type": "string", "enum": values});
    }
    Some(json!({
        "name": name, "in": "query", "required": is_required, "description": description,
        "schema": schema,
    }))
}
