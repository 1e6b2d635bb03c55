//! Converts what is said of the queue.

use cluster_state::{ConstraintOp, Shortage};
use proto::convert;
use proto::v1;

use crate::leader::placement::{Explanation, Obstacle, Obstructed, PendingReason};
use crate::operations::{ClassSummary, ExplainedTask, QueueSummary};

const UNCORDON: &str = "uncordon one of these: clusterctl worker uncordon";
const FIX: &str = "fix what `clusterctl worker show` reports for one of these";

/// Converts the sum of the queue.
pub(crate) fn queue_summary(summary: QueueSummary) -> v1::QueueSummary {
    let QueueSummary { states, priorities, class_count, classes, oldest } = summary;
    let states = states.into_iter().filter(|(_, tasks)| *tasks > 0);
    let priorities = priorities.into_iter().rev();
    v1::QueueSummary {
        states: states.map(|(state, tasks)| (state.name().to_owned(), tasks)).collect(),
        priorities: priorities
            .map(|(priority, tasks)| v1::PriorityDepth { priority: priority.into(), tasks })
            .collect(),
        class_count: number(class_count),
        classes: classes.into_iter().map(class_summary).collect(),
        oldest_task_id: oldest.map(|(id, _)| id.to_string()),
        oldest_queued_at: oldest.map(|(_, at)| convert::rfc3339(at)),
    }
}

fn class_summary(summary: ClassSummary) -> v1::QueueClass {
    let ClassSummary { class, tasks, next, pending_reason } = summary;
    v1::QueueClass {
        priority: class.priority.into(),
        resources: Some((&class.resources).into()),
        constraints: class.constraints.iter().map(Into::into).collect(),
        worker_id: class.worker.as_ref().map(ToString::to_string),
        tasks: number(tasks),
        next_task_id: next.id.to_string(),
        next_queued_at: convert::rfc3339(next.queued_at()),
        pending_reason: pending_reason.as_ref().map(PendingReason::of_class),
        queue: class.queue.to_string(),
        concurrency_key: class.concurrency_key.as_ref().map(ToString::to_string),
    }
}

/// Converts the explanation why a task waits.
pub(crate) fn task_explanation(explained: ExplainedTask) -> v1::TaskExplanation {
    let ExplainedTask { shown, explanation, position } = explained;
    let v1::Task { task_id, state, pending_reason, .. } = super::task(shown);
    let counted = |count: fn(&Explanation) -> usize| explanation.as_ref().map(count).map(number);
    v1::TaskExplanation {
        task_id,
        state,
        pending_reason,
        workers: counted(|explanation| explanation.workers),
        fitting: counted(|explanation| explanation.fitting),
        position: position.map(number),
        obstacles: explanation
            .into_iter()
            .flat_map(|explanation| explanation.obstructed)
            .map(obstructed)
            .collect(),
    }
}

fn obstructed(obstructed: Obstructed) -> v1::ObstructedWorkers {
    let Obstructed { obstacle, workers, examples, shortages } = obstructed;
    let (kind, detail, remedy) = match obstacle {
        Obstacle::OtherWorker => (
            v1::Obstacle::OtherWorker,
            None,
            "submit it without worker_id, or naming one of these".to_owned(),
        ),
        Obstacle::Constraint(constraint) => {
            let label = &constraint.label;
            let remedy = match &constraint.op {
                ConstraintOp::Equals(value) => format!("label one of these {label}={value}"),
                ConstraintOp::NotEquals(_) => format!("give one of these another {label}"),
                ConstraintOp::In(_) => format!("give one of these an accepted {label}"),
                ConstraintOp::Exists => format!("give one of these a label {label}"),
            };
            let remedy = format!("{remedy}, or submit the task without the constraint");
            (v1::Obstacle::Constraint, Some(constraint.to_string()), remedy)
        }
        Obstacle::Inactive => {
            let remedy = "start one of these, or find out why no leader reaches it: clusterctl \
                          worker history";
            (v1::Obstacle::Inactive, None, remedy.to_owned())
        }
        Obstacle::Cordoned => (v1::Obstacle::Cordoned, None, UNCORDON.to_owned()),
        Obstacle::Draining => (v1::Obstacle::Draining, None, UNCORDON.to_owned()),
        Obstacle::Unreachable => (v1::Obstacle::Unreachable, None, FIX.to_owned()),
        Obstacle::Unfit => (v1::Obstacle::Unfit, None, FIX.to_owned()),
        Obstacle::TooSmall(kinds) => {
            let most = shortages.iter().map(|short| amount(short, short.available));
            let most = most.collect::<Vec<_>>().join(", ");
            let remedy = format!("ask for at most {most}, or add a larger worker");
            (v1::Obstacle::TooSmall, Some(kinds.join(", ")), remedy)
        }
        Obstacle::FailedStart => {
            let remedy = "see the reasons in its attempts: clusterctl task show";
            (v1::Obstacle::FailedStart, None, remedy.to_owned())
        }
        Obstacle::Busy(kinds) => {
            let free = shortages.iter().map(|short| {
                format!(
                    "{} of {} wanted",
                    amount(short, short.available),
                    plain(short, short.wanted)
                )
            });
            let free = free.collect::<Vec<_>>().join(", ");
            let remedy = format!("wait for tasks to end, or add a worker; free is at most {free}");
            (v1::Obstacle::Busy, Some(kinds.join(", ")), remedy)
        }
    };
    v1::ObstructedWorkers {
        obstacle: kind.into(),
        detail,
        workers: number(workers),
        examples: examples.iter().map(ToString::to_string).collect(),
        remedy,
    }
}

fn amount(short: &Shortage, amount: u64) -> String {
    format!("{} {}", short.kind, plain(short, amount))
}

fn plain(short: &Shortage, amount: u64) -> String {
    match &*short.kind {
        "cpu" => convert::processors(amount).to_string(),
        _ => amount.to_string(),
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
