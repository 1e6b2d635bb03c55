//! Formats what waits in the queue, and why.

use proto::names::name_of;
use proto::v1;

use super::table::{NOTHING, Style, columns, fields, or_nothing, shown};
use super::text::amounts;

/// Formats the sum of the queue.
#[must_use]
pub fn queue(queue: &v1::QueueSummary, style: Style) -> String {
    let listed = |numbers: Vec<String>| match numbers.as_slice() {
        [] => NOTHING.to_owned(),
        numbers => numbers.join(", "),
    };
    let states = queue.states.iter().map(|(state, tasks)| format!("{tasks} {state}"));
    let priorities = queue.priorities.iter();
    let priorities = priorities.map(|depth| format!("{} at {}", depth.tasks, depth.priority));
    let oldest = queue.oldest_task_id.as_ref().zip(queue.oldest_queued_at.as_ref());
    let summary = fields(&[
        ("live tasks", listed(states.collect())),
        ("by priority", listed(priorities.collect())),
        ("oldest", or_nothing(oldest.map(|(task, at)| format!("{task}, since {at}")).as_ref())),
        ("classes", queue.class_count.to_string()),
    ]);
    if queue.classes.is_empty() {
        return summary;
    }
    let rows = queue.classes.iter().map(|class| {
        [
            class.tasks.to_string(),
            class.priority.to_string(),
            amounts(class.resources.as_ref()),
            place(class),
            class.next_task_id.clone(),
            class.next_queued_at.clone(),
            or_nothing(class.pending_reason.as_ref()),
        ]
    });
    let heading = ["TASKS", "PRIORITY", "RESOURCES", "WHERE", "NEXT", "QUEUED", "REASON"];
    format!("{summary}\n\n{}", columns(heading, rows.collect(), style))
}

/// Returns where tasks of a class may run.
fn place(class: &v1::QueueClass) -> String {
    let worker = class.worker_id.iter().map(|worker| format!("on {worker}"));
    let constraints = class.constraints.iter().map(|constraint| {
        let operator = name_of::<v1::ConstraintOperator>(constraint.op);
        let values = constraint.value.join(",");
        format!("{} {operator} {values}", constraint.label).trim_end().to_owned()
    });
    let places = worker.chain(constraints).collect::<Vec<_>>();
    if places.is_empty() { "anywhere".to_owned() } else { places.join("; ") }
}

/// Formats the explanation why a task waits.
#[must_use]
pub fn explanation(explanation: &v1::TaskExplanation, style: Style) -> String {
    let workers = explanation.workers.zip(explanation.fitting);
    let workers = workers.map(|(all, fitting)| format!("{fitting} of {all} have room for it now"));
    let summary = fields(&[
        ("task", explanation.task_id.clone()),
        ("state", shown::<v1::TaskState>(explanation.state)),
        ("reason", or_nothing(explanation.pending_reason.as_ref())),
        ("workers", or_nothing(workers.as_ref())),
        ("before it", or_nothing(explanation.position.map(|count| count.to_string()).as_ref())),
    ]);
    if explanation.obstacles.is_empty() {
        return summary;
    }
    let rows = explanation.obstacles.iter().map(|obstructed| {
        let more =
            obstructed.workers > u64::try_from(obstructed.examples.len()).unwrap_or(u64::MAX);
        let examples = obstructed.examples.join(",");
        [
            obstructed.workers.to_string(),
            shown::<v1::Obstacle>(obstructed.obstacle),
            or_nothing(obstructed.detail.as_ref()),
            if more { format!("{examples},…") } else { examples },
            obstructed.remedy.clone(),
        ]
    });
    let heading = ["WORKERS", "OBSTACLE", "DETAIL", "WHICH", "WHAT TO DO"];
    format!("{summary}\n\n{}", columns(heading, rows.collect(), style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_a_summary_and_rows() {
        let empty = "live tasks:  -\nby priority: -\noldest:      -\nclasses:     0";
        assert_eq!(queue(&v1::QueueSummary::default(), Style::Plain), empty);

        let constraint = |op: v1::ConstraintOperator, value: &[&str]| v1::Constraint {
            label: "zone".to_owned(),
            op: op.into(),
            value: value.iter().map(|&value| value.to_owned()).collect(),
        };
        let class = v1::QueueClass {
            priority: 50,
            resources: Some(v1::Resources { cpu: Some(0.5), ..v1::Resources::default() }),
            constraints: vec![
                constraint(v1::ConstraintOperator::In, &["a", "b"]),
                constraint(v1::ConstraintOperator::Exists, &[]),
            ],
            tasks: 3,
            next_task_id: "t3".to_owned(),
            next_queued_at: "2025-11-17T10:30:00.000Z".to_owned(),
            ..v1::QueueClass::default()
        };
        let summary = v1::QueueSummary {
            states: [("queued".to_owned(), 3), ("running".to_owned(), 4)].into(),
            priorities: vec![v1::PriorityDepth { priority: 50, tasks: 3 }],
            class_count: 1,
            classes: vec![class],
            oldest_task_id: Some("t3".to_owned()),
            oldest_queued_at: Some("2025-11-17T10:30:00.000Z".to_owned()),
        };
        let expected = "\
live tasks:  3 queued, 4 running
by priority: 3 at 50
oldest:      t3, since 2025-11-17T10:30:00.000Z
classes:     1

TASKS  PRIORITY  RESOURCES                                    WHERE                     NEXT  QUEUED                    REASON
3      50        0.5 cpu, 0 MiB memory, 0 MiB storage, 0 gpu  zone in a,b; zone exists  t3    2025-11-17T10:30:00.000Z  -";
        assert_eq!(queue(&summary, Style::Plain), expected);
    }

    #[test]
    fn an_explanation_names_workers_and_what_to_do() {
        let explained = v1::TaskExplanation {
            task_id: "t1".to_owned(),
            state: v1::TaskState::Queued.into(),
            pending_reason: Some("all 6 workers that fit are busy".to_owned()),
            workers: Some(6),
            fitting: Some(0),
            position: Some(4),
            obstacles: vec![v1::ObstructedWorkers {
                obstacle: v1::Obstacle::Busy.into(),
                detail: Some("cpu".to_owned()),
                workers: 6,
                examples: vec!["w1".to_owned()],
                remedy: "wait".to_owned(),
            }],
        };
        let expected = "\
task:      t1
state:     queued
reason:    all 6 workers that fit are busy
workers:   0 of 6 have room for it now
before it: 4

WORKERS  OBSTACLE  DETAIL  WHICH  WHAT TO DO
6        busy      cpu     w1,…   wait";
        assert_eq!(explanation(&explained, Style::Plain), expected);
    }
}
