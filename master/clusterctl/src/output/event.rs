//! Formats events, one line each.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::table::NOTHING;

/// An event, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Event {
    timestamp: Option<String>,
    index: Option<u64>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    TaskStatus(Task),
    WorkerStatus {
        worker_id: String,
        state: String,
        reason: String,
        detail: Option<String>,
    },
    Leader {
        leader_id: u64,
        term: u64,
    },
    Settings {
        changed: BTreeMap<String, String>,
        by: Option<String>,
    },
    Member {
        name: String,
        event: String,
        replaced_by: Option<String>,
        by: Option<String>,
    },
    OrphanedResult {
        orphan_id: String,
        worker_id: String,
        task_id: String,
        attempt: u32,
        outcome: String,
    },
    MassLoss {
        state: String,
        lost: Option<u32>,
        of: Option<u32>,
    },
    Telemetry {
        worker_id: String,
        cpu: f64,
        memory: f64,
        storage: f64,
        running_tasks: u32,
    },
    Compacted {
        oldest_index: u64,
    },
}

#[derive(Debug, Deserialize)]
struct Task {
    task_id: String,
    name: Option<String>,
    state: String,
    worker_id: Option<String>,
    attempt: Option<u32>,
    exit_code: Option<i32>,
    reason: Option<String>,
}

/// Formats an event, an object of JSON, as a line for people. One of an unknown type stays as it is.
#[must_use]
pub fn event(json: &str) -> String {
    let Ok(Event { timestamp, index, content }) = serde_json::from_str::<Event>(json) else {
        return json.to_owned();
    };
    let timestamp = timestamp.unwrap_or_else(|| NOTHING.to_owned());
    let index = index.map_or_else(|| NOTHING.to_owned(), |index| index.to_string());
    format!("{timestamp:<24}  {index:>8}  {}", sentence(content))
}

fn sentence(content: Content) -> String {
    let by = |by: Option<String>| by.map(|by| format!(" by {by}")).unwrap_or_default();
    match content {
        Content::TaskStatus(task) => of_task(task),
        Content::WorkerStatus { worker_id, state, reason, detail } => {
            let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("worker {worker_id} {state}, {reason}{detail}")
        }
        Content::Leader { leader_id, term } => format!("master {leader_id} leads, term {term}"),
        Content::Settings { changed, by: author } => {
            let changed = changed.iter().map(|(key, value)| format!("{key}={value}"));
            format!("settings {}{}", changed.collect::<Vec<_>>().join(","), by(author))
        }
        Content::Member { name, event, replaced_by, by: author } => {
            let by_whom = replaced_by.map(|other| format!(" by master {other}"));
            let by_whom = by_whom.unwrap_or_default();
            format!(
                "master {name} {event}{by_whom}{}",
                by(author.map(|one| format!("order of {one}")))
            )
        }
        Content::OrphanedResult { orphan_id, worker_id, task_id, attempt, outcome } => format!(
            "orphaned result {orphan_id} of task {task_id}, attempt {attempt} on {worker_id}: {outcome}"
        ),
        Content::MassLoss { state, lost: Some(lost), of: Some(of) } => {
            format!("mass loss {state}, {lost} of {of} workers")
        }
        Content::MassLoss { state, .. } => format!("mass loss {state}"),
        Content::Telemetry { worker_id, cpu, memory, storage, running_tasks } => format!(
            "worker {worker_id} uses {cpu:.1} % cpu, {memory:.1} % memory, {storage:.1} % storage, \
             runs {running_tasks}"
        ),
        Content::Compacted { oldest_index } => {
            format!("events before index {oldest_index} are not held any more: some may be missing")
        }
    }
}

fn of_task(task: Task) -> String {
    let Task { task_id, name, state, worker_id, attempt, exit_code, reason } = task;
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let mut text = format!("task {task_id}{name} {state}");
    if let (Some(attempt), Some(worker)) = (attempt, worker_id) {
        text = format!("{text}, attempt {attempt} on {worker}");
    }
    if let Some(code) = exit_code {
        text = format!("{text}, exit code {code}");
    }
    match reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_people() {
        for (json, expected) in [
            (
                r#"{"type":"task_status","task_id":"t17","name":"train","state":"scheduled","worker_id":"w1","attempt":2,"exit_code":3,"outcome":"failed","reason":"waiting","timestamp":"2025-11-17T10:30:00.000Z","index":43}"#,
                "2025-11-17T10:30:00.000Z        43  task t17 (train) scheduled, attempt 2 on w1, exit code 3: waiting",
            ),
            (
                r#"{"type":"task_status","task_id":"t17","state":"queued","worker_id":null,"attempt":null,"timestamp":"2025-11-17T10:30:00.000Z","index":42,"more":true}"#,
                "2025-11-17T10:30:00.000Z        42  task t17 queued",
            ),
            (
                r#"{"type":"worker_status","worker_id":"w1","is_active":true,"state":"active","reason":"registered","timestamp":"2025-11-17T10:30:00.000Z","index":7}"#,
                "2025-11-17T10:30:00.000Z         7  worker w1 active, registered",
            ),
            (
                r#"{"type":"leader","leader_id":2,"term":7,"timestamp":"2025-11-17T10:30:00.000Z","index":44}"#,
                "2025-11-17T10:30:00.000Z        44  master 2 leads, term 7",
            ),
            (
                r#"{"type":"settings","source":"operator","changed":{"worker.lease":"1m"},"by":"user:ada","timestamp":"2025-11-17T10:30:00.000Z","index":8}"#,
                "2025-11-17T10:30:00.000Z         8  settings worker.lease=1m by user:ada",
            ),
            (
                r#"{"type":"member","name":"4","id":"1","event":"replaced","replaced_by":"5","by":"autopilot","timestamp":"2025-11-17T10:30:00.000Z","index":9}"#,
                "2025-11-17T10:30:00.000Z         9  master 4 replaced by master 5 by order of autopilot",
            ),
            (
                r#"{"type":"mass_loss","state":"raised","lost":5,"of":8,"timestamp":"2025-11-17T10:30:00.000Z","index":9}"#,
                "2025-11-17T10:30:00.000Z         9  mass loss raised, 5 of 8 workers",
            ),
            (
                r#"{"type":"compacted","oldest_index":8}"#,
                "-                                -  events before index 8 are not held any more: some may be missing",
            ),
            (r#"{"type":"weather"}"#, r#"{"type":"weather"}"#),
        ] {
            assert_eq!(event(json), expected);
        }
    }
}
