//! Writes replies and records as they stand in a script.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use cluster_state::{
    Ahead, Applied, Attempt, AttemptRef, AttemptVerdict, Change, FinishVerdict, Health, Key, Meta,
    Probation, Record, Registered, Rejection, Reply, Resources, RunCounts, Scheduling, State,
    StopReason, Suspension, Task, TaskState, Timestamp, Trouble, Worker, WorkerEvent,
    WorkerEventKind, WorkerStatus,
};

use crate::syntax::{View, queues, schedules};
use records::{
    holder_line, issuer_line, job_line, mass_loss_line, orphan_line, settings_lines, token_line,
    user_token_line,
};

#[path = "records.rs"]
mod records;

/// Writes the reply, then a line or more for each change.
pub(crate) fn applied(applied: &Applied, before: &Meta) -> String {
    let mut out = format!("{}\n", reply(&applied.reply));
    for line in applied.changes.iter().flat_map(|change| change_lines(change, before)) {
        writeln!(out, "  {line}").unwrap();
    }
    out
}

/// Writes an index of the state.
pub(crate) fn view(view: View, state: &State) -> String {
    let lines = match view {
        View::Queue => state
            .queue()
            .map(|(class, queue)| {
                let tasks = joined(queue.tasks(), ", ");
                format!("priority {}, {}: {tasks}", class.priority, resources(&class.resources))
            })
            .collect(),
        View::Loads => state
            .loads()
            .map(|(worker, load)| {
                let mut line = format!("{worker}: {}", resources(&load.allocated));
                for (what, tasks) in [
                    ("live", &load.attempts),
                    ("ahead", &load.ahead),
                    ("to start", &load.unconfirmed),
                    ("to stop", &load.stopping),
                ] {
                    if !tasks.is_empty() {
                        write!(line, "; {what} {}", joined(tasks, ", ")).unwrap();
                    }
                }
                line
            })
            .collect(),
        View::Orphans => state.orphans().map(|orphan| orphan_line(orphan)).collect(),
        View::Timer => Vec::from_iter(state.next_timer().map(time)),
        View::History => {
            let events = state.workers().flat_map(|worker| {
                let line = |event: &WorkerEvent| {
                    let detail = if let WorkerEventKind::Updated(what) = &event.kind {
                        format!(" ({what})")
                    } else if let WorkerEventKind::NameContested(address) = &event.kind {
                        format!(" by {address}")
                    } else {
                        String::new()
                    };
                    let what = event.kind.name();
                    format!("{}: {} {what}{detail}", worker.id, time(event.at))
                };
                worker.history.iter().map(line)
            });
            events.collect()
        }
    };
    if lines.is_empty() { "nothing\n".to_owned() } else { joined(lines, "\n") + "\n" }
}

fn reply(reply: &Result<Reply, Rejection>) -> String {
    match reply {
        Err(rejection) => format!("rejected: {rejection}"),
        Ok(Reply::Done | Reply::Registered(Registered::New)) => "done".to_owned(),
        Ok(Reply::Registered(Registered::Known)) => "registered already".to_owned(),
        Ok(Reply::Submitted { first, count, repeated }) => {
            let when = if *repeated { "already submitted" } else { "submitted" };
            format!("{when} {count} from {first}")
        }
        Ok(Reply::Assigned(verdicts)) => {
            let verdicts = verdicts.iter().map(|verdict| match verdict {
                Ok(number) => number.to_string(),
                Err(rejection) => format!("rejected: {rejection}"),
            });
            format!("assigned {}", joined(verdicts, "; "))
        }
        Ok(Reply::Connected(resume)) => {
            let running = resume.running.iter().map(|(AttemptRef { task, attempt }, verdict)| {
                let verdict = match verdict {
                    AttemptVerdict::Keep => "keep",
                    AttemptVerdict::Kill => "kill",
                };
                format!(", {verdict} {task}{attempt}")
            });
            let finished = resume.finished.iter().map(|one| format!(", result {}", verdict(*one)));
            format!("connected as {}{}", resume.epoch, joined(running.chain(finished), ""))
        }
        Ok(Reply::Finished(verdicts)) => joined(verdicts.iter().copied().map(verdict), ", "),
        Ok(Reply::Ticked { fired, more }) => {
            format!("{fired} fired{}", if *more { ", more are due" } else { "" })
        }
        Ok(Reply::Cancelled(state)) => state.to_string(),
        Ok(Reply::Retried(state)) => format!("retried: {state}"),
        Ok(Reply::JobStarted(id)) => format!("started {id}"),
        Ok(Reply::Dropped(count)) => format!("{count} dropped"),
        Ok(Reply::Advanced(RunCounts { started, skipped, missed })) => {
            format!("{started} started, {skipped} skipped, {missed} missed")
        }
        Ok(Reply::Requeued { count, more }) => {
            format!("{count} requeued{}", if *more { ", more are to be" } else { "" })
        }
    }
}

const fn verdict(verdict: FinishVerdict) -> &'static str {
    match verdict {
        FinishVerdict::Accepted => "accepted",
        FinishVerdict::Stale => "stale",
    }
}

fn change_lines(change: &Change, before: &Meta) -> Vec<String> {
    match change {
        Change::Put(Record::Meta(meta)) => vec![meta_line(meta, before)],
        Change::Put(Record::Leader(record)) => vec![format!(
            "master {} leads term {} since {}",
            record.leader,
            record.term,
            time(record.since)
        )],
        Change::Put(Record::Worker(worker)) => vec![worker_line(worker)],
        Change::Delete(Key::Worker(id)) => vec![format!("{id} removed")],
        Change::Put(Record::Task(task)) => task_lines(task),
        Change::Delete(Key::Task(id)) => vec![format!("{id} forgotten")],
        Change::Put(Record::IdempotencyKey(record)) => {
            vec![format!("key {} names {} from {}", record.key, record.count, record.first)]
        }
        Change::Delete(Key::IdempotencyKey(key)) => vec![format!("key {key} expired")],
        Change::Put(Record::Departed(one)) => {
            let Worker { id, epoch, address, .. } = &*one.worker;
            let at = address.as_ref().map(|at| format!(", at {at}")).unwrap_or_default();
            vec![format!("{id}/{epoch} departed {}{at}", time(one.at))]
        }
        Change::Delete(Key::Departed(id)) => vec![format!("{id} has not departed any more")],
        Change::Put(Record::Token(token)) => vec![token_line(token)],
        Change::Delete(Key::Token(id)) => vec![format!("token {id} removed")],
        Change::Put(Record::UserToken(token)) => vec![user_token_line(token)],
        Change::Delete(Key::UserToken(id)) => vec![format!("token {id} of a user removed")],
        Change::Put(Record::MassLoss(raised)) => vec![mass_loss_line(raised)],
        Change::Delete(Key::MassLoss) => vec!["the mass loss is over".to_owned()],
        Change::Put(Record::Settings(record)) => settings_lines(record),
        Change::Put(Record::Orphan(orphan)) => vec![orphan_line(orphan)],
        Change::Delete(Key::Orphan(id)) => vec![format!("{id} removed")],
        Change::Put(Record::Audit(record)) => vec![format!("{} on record", record.action)],
        Change::Delete(Key::Audit(index)) => vec![format!("record {index} forgotten")],
        Change::Put(Record::Issuer(issuer)) => vec![issuer_line(issuer)],
        Change::Put(Record::Holder(holder)) => vec![holder_line(holder)],
        Change::Put(Record::Queue(queue)) => vec![queues::line(queue)],
        Change::Delete(Key::Queue(name)) => vec![format!("queue {name} deleted")],
        Change::Put(Record::Schedule(schedule)) => schedules::lines(schedule, time),
        Change::Delete(Key::Schedule(name)) => vec![format!("schedule {name} deleted")],
        Change::Delete(Key::Holder(id)) => vec![format!("{id} dropped")],
        Change::Put(Record::Job(job)) => vec![job_line(job)],
        Change::Delete(Key::Job(id)) => vec![format!("{id} forgotten")],
        Change::Put(Record::Cascade(one)) => vec![format!("{} {} and aborts", one.task, one.end)],
        Change::Delete(Key::Cascade(id)) => vec![format!("{id} aborts no more")],
        Change::Delete(key @ (Key::Meta | Key::Leader(_) | Key::Settings | Key::Issuer)) => {
            panic!("deleted: {key:?}")
        }
    }
}

/// Writes only the fields that changed.
fn meta_line(meta: &Meta, before: &Meta) -> String {
    let fields = [
        (meta.cluster != before.cluster)
            .then(|| format!("cluster {}", meta.cluster.map_or(0, |cluster| cluster.0))),
        (meta.term != before.term).then(|| format!("term {}", meta.term)),
        (meta.level != before.level).then(|| format!("level {}", meta.level)),
        (meta.next_task != before.next_task).then(|| format!("next task {}", meta.next_task)),
        (meta.live_bytes_max != before.live_bytes_max)
            .then(|| format!("{} live bytes", meta.live_bytes_max)),
        (meta.epochs_used != before.epochs_used)
            .then(|| format!("epochs used to {}", meta.epochs_used)),
        (meta.orphans_found != before.orphans_found)
            .then(|| format!("{} orphans found", meta.orphans_found)),
        (meta.orphans_displaced != before.orphans_displaced)
            .then(|| format!("{} orphans displaced", meta.orphans_displaced)),
        (meta.last_retry != before.last_retry).then(|| format!("last retry {}", meta.last_retry)),
        (meta.now != before.now).then(|| format!("now {}", time(meta.now))),
    ];
    joined(fields.into_iter().flatten(), ", ")
}

fn worker_line(worker: &Worker) -> String {
    let mut line = format!(
        "{}/{} {} since {} ({})",
        worker.id,
        worker.epoch,
        worker.status,
        time(worker.changed_at),
        worker.reason
    );
    health(&worker.health, &mut line);
    match worker.scheduling {
        Scheduling::Open => {}
        Scheduling::Cordoned => line.push_str(", cordoned"),
        Scheduling::Draining { deadline: None } => line.push_str(", draining"),
        Scheduling::Draining { deadline: Some(at) } => {
            write!(line, ", draining until {}", time(at)).unwrap();
        }
        Scheduling::Emptying => line.push_str(", to be empty now"),
    }
    if let Some(address) = &worker.address {
        write!(line, ", at {address}").unwrap();
    }
    if let (WorkerStatus::Active, Some(process)) = (worker.status, worker.process) {
        let incarnation = process.incarnation.0;
        write!(line, ", process {incarnation}, {}", resources(&worker.total())).unwrap();
        if worker.total().slots < Resources::SLOTS_UNBOUNDED {
            write!(line, ", {} attempts at most", worker.total().slots).unwrap();
        }
    }
    if let Some(at) = worker.last_heard {
        write!(line, ", last heard {}", time(at)).unwrap();
    }
    if let Some(until) = worker.granted_until {
        write!(line, ", granted more until {}", time(until)).unwrap();
    }
    if let Some(rival) = &worker.rival {
        write!(line, ", {} wants its name", rival.address).unwrap();
    }
    let labels = worker.effective_labels();
    if !labels.is_empty() {
        write!(line, ", {}", pairs(&labels)).unwrap();
    }
    line
}

fn health(health: &Health, line: &mut String) {
    let troubles = [("unreachable", &health.unreachable), ("unfit", &health.reported)];
    for (what, trouble) in troubles {
        if let Some(Trouble { detail, since }) = trouble {
            write!(line, ", {what} since {} ({detail})", time(*since)).unwrap();
        }
    }
    if !health.failed_starts.is_empty() {
        write!(line, ", failed to start {}", joined(&health.failed_starts, " ")).unwrap();
    }
    let Some(Suspension { trouble, probation, .. }) = &health.suspension else { return };
    write!(line, ", suspended since {} ({}), ", time(trouble.since), trouble.detail).unwrap();
    match probation {
        Probation::Resting { until } => write!(line, "rests until {}", time(*until)).unwrap(),
        Probation::Open => line.push_str("may try one"),
        Probation::Trying { attempt, until } => {
            write!(line, "tries {}{}", attempt.task, attempt.attempt).unwrap();
            until.iter().for_each(|until| write!(line, " until {}", time(*until)).unwrap());
        }
    }
}

fn task_lines(task: &Task) -> Vec<String> {
    let mut line = format!("{} {}", task.id, task.state);
    if let TaskState::Scheduled { until } = task.state {
        write!(line, " until {}", time(until)).unwrap();
    }
    if let Some(ahead) = task.ahead {
        line.push_str(if ahead == Ahead::Told { " ahead" } else { " ahead, untold" });
    }
    task.finished_at.into_iter().for_each(|at| write!(line, " at {}", time(at)).unwrap());
    if let Some(reason) = task.reason_text() {
        write!(line, " ({reason})").unwrap();
    }
    for (what, count) in [("failures", task.failures), ("losses", task.losses)] {
        if count > 0 {
            write!(line, ", {what} {count}").unwrap();
        }
    }
    if let Some(course) = task.course.as_deref() {
        let (queued, start, end) = (course.queued_at, course.start_by, course.end_by);
        for (what, at) in [("queued at", queued), ("to start by", start), ("to end by", end)] {
            at.into_iter().for_each(|at| write!(line, ", {what} {}", time(at)).unwrap());
        }
        if course.retries > 0 {
            write!(line, ", retries {}", course.retries).unwrap();
        }
    }
    if let Some(result) = task.result() {
        write!(line, ", result of {result}").unwrap();
    }
    let emptied = !task.spec.secret_env.has_values();
    for name in task.spec.secret_env.names() {
        write!(line, ", {} {name}", if emptied { "emptied" } else { "secret" }).unwrap();
    }
    std::iter::once(line).chain(task.attempts.iter().map(attempt_line)).collect()
}

fn attempt_line(attempt: &Attempt) -> String {
    let Attempt { number, worker, epoch, .. } = attempt;
    let mut line = format!("  {number} on {worker}/{epoch}, placed {}", time(attempt.assigned_at));
    if let Some(at) = attempt.started_at {
        write!(line, ", started {}", time(at)).unwrap();
    }
    match attempt.stop {
        Some(StopReason::Cancelled) => line.push_str(", to be stopped: cancelled"),
        Some(StopReason::RunTimeout) => line.push_str(", to be stopped: ran too long"),
        Some(StopReason::Drained) => line.push_str(", to be stopped: drained"),
        Some(StopReason::Deadline) => line.push_str(", to be stopped: past its deadline"),
        None => {}
    }
    if let (Some(at), Some(outcome)) = (attempt.finished_at, &attempt.outcome) {
        write!(line, ", ended {}: {outcome}", time(at)).unwrap();
    }
    line
}

/// Writes amounts, in whole processors.
fn resources(amounts: &Resources) -> String {
    let fixed = [
        ("cpu", amounts.cpu_milli / 1000),
        ("memory", amounts.memory_mib),
        ("storage", amounts.storage_mib),
        ("gpu", amounts.gpu),
    ];
    let custom = amounts.custom.iter().map(|(kind, amount)| (&**kind, *amount));
    let present = fixed.into_iter().chain(custom).filter(|(_, amount)| *amount > 0);
    joined(present.map(|(kind, amount)| format!("{kind} {amount}")), " ")
}

fn pairs(labels: &BTreeMap<String, String>) -> String {
    joined(labels.iter().map(|(key, value)| format!("{key}={value}")), " ")
}

pub(super) fn time(at: Timestamp) -> String {
    if at.0.is_multiple_of(1000) { format!("{}s", at.0 / 1000) } else { at.to_string() }
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}
