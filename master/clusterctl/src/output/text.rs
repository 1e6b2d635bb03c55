//! Formats masters, workers and tasks for people.

use std::collections::BTreeMap;

use daemon::progress::binary_size;
use proto::names::name_of;
use proto::v1;

use super::operator;
use super::table::{NOTHING, Style, columns, fields, or_nothing, shown};

fn pairs(map: &BTreeMap<String, String>) -> String {
    if map.is_empty() {
        return NOTHING.to_owned();
    }
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

pub(super) fn amounts(resources: Option<&v1::Resources>) -> String {
    let Some(resources) = resources else { return NOTHING.to_owned() };
    let mut text = format!(
        "{} cpu, {} MiB memory, {} MiB storage, {} gpu",
        resources.cpu.unwrap_or_default(),
        resources.memory_mb.unwrap_or_default(),
        resources.storage_mb.unwrap_or_default(),
        resources.gpu.unwrap_or_default(),
    );
    for (kind, amount) in &resources.custom {
        text = format!("{text}, {amount} {kind}");
    }
    text
}

/// Formats the leader as a row.
#[must_use]
pub fn leader(leader: &v1::LeaderStatus, style: Style) -> String {
    let row = [
        or_nothing(leader.leader_id.as_ref()),
        or_nothing(leader.address.as_ref()),
        or_nothing(leader.http_address.as_ref()),
        leader.term.to_string(),
    ];
    columns(["LEADER", "ADDRESS", "HTTP", "TERM"], vec![row], style)
}

/// Formats the masters, and the numbers of workers and tasks in each state.
#[must_use]
pub fn status(status: &v1::ClusterStatus, style: Style) -> String {
    let rows = status.members.iter().map(|member| {
        [
            member.id.to_string(),
            shown::<v1::MasterRole>(member.role),
            member.address.clone(),
            or_nothing(member.http_address.as_ref()),
            or_nothing(member.term.as_ref()),
            or_nothing(member.commit_index.as_ref()),
            or_nothing(member.applied_index.as_ref()),
            or_nothing(member.lag.as_ref()),
            or_nothing(member.free_bytes.map(binary_size).as_ref()),
            or_nothing(member.version.as_ref()),
            or_nothing(member.level_max.as_ref()),
        ]
    });
    let heading = [
        "MASTER",
        "ROLE",
        "ADDRESS",
        "HTTP",
        "TERM",
        "COMMIT",
        "APPLIED",
        "LAG",
        "FREE",
        "VERSION",
        "LEVEL MAX",
    ];

    let health = if status.healthy {
        "healthy".to_owned()
    } else {
        format!("not healthy: {}", status.problems.join("; "))
    };
    let mut summary = vec![
        ("cluster", status.cluster_name.clone()),
        ("health", health),
        ("level", status.level.to_string()),
        ("workers", counts(&status.workers)),
        ("tasks", counts(&status.tasks)),
    ];
    summary.extend(differing_settings(&status.members).map(|text| ("config", text)));
    let orphans = Some(status.orphans).filter(|count| *count > 0);
    summary.extend(orphans.map(|count| ("orphans", format!("{count} (clusterctl orphan list)"))));
    summary.extend(status.autopilot.clone().map(|text| ("autopilot", text)));
    let summary = fields(&summary);

    let table = columns(heading, rows.collect(), style);
    match &status.mass_loss {
        Some(alarm) => format!("{}\n\n{summary}\n\n{table}", operator::alarm(alarm, style)),
        None => format!("{summary}\n\n{table}"),
    }
}

/// Names the settings that masters' own configurations give otherwise than the cluster has them.
fn differing_settings(members: &[v1::Member]) -> Option<String> {
    let differing = members.iter().filter(|member| !member.differing_settings.is_empty());
    let texts = differing.map(|member| {
        let paths = member.differing_settings.join(", ");
        format!("master {} has its own {paths}", member.id)
    });
    let texts = texts.collect::<Vec<_>>();
    (!texts.is_empty()).then(|| format!("{}; those of the cluster count", texts.join("; ")))
}

fn counts(by_state: &BTreeMap<String, u64>) -> String {
    let present = by_state.iter().filter(|(_, count)| **count > 0);
    let texts = present.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// Longest result that is shown among other things.
const RESULT_SHOWN_MAX: usize = 200;

/// Formats workers as rows.
#[must_use]
pub fn workers(workers: &[v1::Worker], style: Style) -> String {
    let rows = workers.iter().map(|worker| {
        let free = |read: fn(&v1::Resources) -> String| {
            worker.available.as_ref().map_or_else(|| NOTHING.to_owned(), read)
        };
        [
            worker.worker_id.clone(),
            shown::<v1::WorkerState>(worker.state),
            shown::<v1::SchedulingState>(worker.scheduling),
            worker.reason.clone(),
            or_nothing(worker.address.as_ref()),
            worker.running_tasks.to_string(),
            free(|resources| resources.cpu.unwrap_or_default().to_string()),
            free(|resources| resources.memory_mb.unwrap_or_default().to_string()),
            or_nothing(worker.last_heartbeat.as_ref()),
        ]
    });

    let heading = [
        "WORKER",
        "STATE",
        "SCHEDULING",
        "REASON",
        "ADDRESS",
        "TASKS",
        "FREE CPU",
        "FREE MIB",
        "LAST HEARTBEAT",
    ];
    columns(heading, rows.collect(), style)
}

/// Formats everything about one worker.
#[must_use]
pub fn worker(worker: &v1::Worker, _: Style) -> String {
    let state = name_of::<v1::WorkerState>(worker.state);
    let scheduling = shown::<v1::SchedulingState>(worker.scheduling);
    let scheduling = match &worker.drain_deadline {
        Some(deadline) => format!("{scheduling}, until {deadline}"),
        None => scheduling,
    };
    let running = match worker.attempts_max {
        Some(most) => format!("{} of at most {most}", worker.running_tasks),
        None => worker.running_tasks.to_string(),
    };

    let mut shown = vec![
        ("worker", worker.worker_id.clone()),
        ("state", format!("{state} ({})", worker.reason)),
        ("since", worker.since.clone()),
        ("scheduling", scheduling),
        ("address", or_nothing(worker.address.as_ref())),
        ("version", or_nothing(worker.version.as_ref())),
        ("epoch", worker.epoch.to_string()),
        ("labels", pairs(&worker.labels)),
        ("running tasks", running),
        ("total", amounts(worker.total.as_ref())),
        ("allocated", amounts(worker.allocated.as_ref())),
        ("available", amounts(worker.available.as_ref())),
        ("registered at", worker.registered_at.clone()),
        ("last heartbeat", or_nothing(worker.last_heartbeat.as_ref())),
    ];
    let until = worker.certificate_not_after.as_ref();
    shown.extend(until.map(|end| ("certificate", format!("valid until {end}"))));
    fields(&shown)
}

/// Formats everything about one task.
#[must_use]
pub fn task(task: &v1::Task, style: Style) -> String {
    let reason = task.pending_reason.as_ref().or(task.reason.as_ref());
    let mut summary = vec![
        ("task", task.task_id.clone()),
        ("name", or_nothing(task.name.as_ref())),
        ("state", shown::<v1::TaskState>(task.state)),
        ("reason", or_nothing(reason)),
        ("command", task.command.join(" ")),
        ("priority", task.priority.to_string()),
        ("resources", amounts(task.resources.as_ref())),
        ("labels", pairs(&task.labels)),
    ];
    // Who may not see the environment sees nothing of it.
    if !task.env.is_empty() {
        summary.push(("environment", pairs(&task.env)));
    }
    if !task.secret_env.is_empty() {
        summary.push(("secrets", task.secret_env.join(",")));
    }
    for (name, value) in [
        ("not before", &task.not_before),
        ("queue timeout", &task.queue_timeout),
        ("deadline", &task.deadline),
        ("retry factor", &task.retry_factor.map(|factor| factor.to_string())),
        ("retry max backoff", &task.retry_max_backoff),
        ("retry jitter", &task.retry_jitter.map(|jitter| jitter.to_string())),
        ("retries", &task.retries.map(|retries| retries.to_string())),
        ("stdin", &task.stdin_bytes.map(|bytes| format!("{bytes} bytes"))),
    ] {
        summary.extend(value.clone().map(|value| (name, value)));
    }
    for (name, ids, count) in [
        ("after", &task.after, None),
        ("after any", &task.after_any, None),
        ("dependents", &task.dependents, task.dependent_count),
    ] {
        let more = count.map(|count| format!(" … {count} in all")).unwrap_or_default();
        if !ids.is_empty() {
            summary.push((name, format!("{}{more}", ids.join(","))));
        }
    }
    if !task.no_retry_exit_codes.is_empty() {
        summary.push(("no retry after", task.no_retry_exit_codes.join(",")));
    }
    summary.extend([
        ("submitted at", task.submitted_at.clone()),
        ("started at", or_nothing(task.started_at.as_ref())),
        ("finished at", or_nothing(task.finished_at.as_ref())),
        ("exit code", or_nothing(task.exit_code.as_ref())),
    ]);
    summary.extend(result(task).map(|result| ("result", result)));
    let summary = fields(&summary);
    if task.attempts.is_empty() {
        return summary;
    }

    let rows = task.attempts.iter().map(|attempt| {
        [
            attempt.number.to_string(),
            attempt.worker_id.clone(),
            or_nothing(attempt.started_at.as_ref()),
            or_nothing(attempt.finished_at.as_ref()),
            or_nothing(attempt.exit_code.as_ref()),
            or_nothing(attempt.outcome.map(name_of::<v1::AttemptOutcome>).as_ref()),
            or_nothing(attempt.reason.as_ref()),
        ]
    });
    let heading = ["ATTEMPT", "WORKER", "STARTED", "FINISHED", "EXIT", "OUTCOME", "REASON"];
    format!("{summary}\n\n{}", columns(heading, rows.collect(), style))
}

/// Returns the result of a task if it is a short line, and otherwise how large it is, or why there is
/// none.
fn result(task: &v1::Task) -> Option<String> {
    let Some(bytes) = &task.result else { return task.result_error.clone() };
    let text = std::str::from_utf8(bytes).ok().map(str::trim_end);
    let is_plain = |text: &&str| {
        text.len() <= RESULT_SHOWN_MAX && !text.is_empty() && !text.contains(char::is_control)
    };
    let size = || format!("{} bytes: clusterctl task result {}", bytes.len(), task.task_id);
    Some(text.filter(is_plain).map_or_else(size, str::to_owned))
}

#[cfg(test)]
mod tests;
