//! Formats named queues.

use proto::v1;

use super::table::{Style, columns, fields, or_nothing};

/// Formats named queues as rows.
#[must_use]
pub fn named_queues(queues: &[v1::Queue], style: Style) -> String {
    let rows = queues.iter().map(|queue| {
        [
            queue.name.clone(),
            queue.weight.to_string(),
            state(queue).to_owned(),
            queue.waiting.to_string(),
            running(queue),
            share(queue),
            or_nothing(rate(queue).as_ref()),
            or_nothing(queue.held.as_ref()),
        ]
    });
    let titles = ["QUEUE", "WEIGHT", "STATE", "WAITING", "RUNNING", "SHARE", "RATE", "HELD"];
    columns(titles, rows.collect(), style)
}

/// Formats one named queue.
#[must_use]
pub fn named_queue(queue: &v1::Queue, _: Style) -> String {
    fields(&[
        ("queue", queue.name.clone()),
        ("weight", queue.weight.to_string()),
        ("state", state(queue).to_owned()),
        ("tasks", queue.tasks.to_string()),
        ("waiting", queue.waiting.to_string()),
        ("running", running(queue)),
        ("share of the fleet", share(queue)),
        ("per concurrency key", queue.max_running_per_key.to_string()),
        ("rate", or_nothing(rate(queue).as_ref())),
        ("held", or_nothing(queue.held.as_ref())),
        ("next start", or_nothing(queue.next_start_at.as_ref())),
        ("changed", or_nothing(queue.changed_at.as_ref())),
    ])
}

const fn state(queue: &v1::Queue) -> &'static str {
    if queue.paused { "paused" } else { "active" }
}

fn running(queue: &v1::Queue) -> String {
    match queue.max_running {
        Some(max) => format!("{} of {max}", queue.running),
        None => queue.running.to_string(),
    }
}

fn share(queue: &v1::Queue) -> String {
    format!("{:.1} %", queue.share * 100.0)
}

fn rate(queue: &v1::Queue) -> Option<String> {
    queue.rate.as_ref().map(|rate| format!("{} in {}", rate.starts, rate.per))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_says_what_it_starts() {
        let queue = v1::Queue {
            name: "night".to_owned(),
            weight: 2,
            max_running: Some(4),
            max_running_per_key: 1,
            rate: Some(v1::QueueRate { starts: 5, per: "60s".to_owned() }),
            waiting: 7,
            running: 4,
            share: 0.25,
            held: Some("it runs 4 tasks, its max_running".to_owned()),
            ..v1::Queue::default()
        };
        let table = named_queues(&[queue], Style::Plain);
        let row = table.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(row, "night 2 active 7 4 of 4 25.0 % 5 in 60s it runs 4 tasks, its max_running");
    }
}
