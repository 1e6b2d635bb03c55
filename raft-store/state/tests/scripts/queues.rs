//! Reads commands about named queues, and writes queues as they stand in a script.

use cluster_state::{
    Command, DeleteQueue, PauseQueue, PutQueue, Queue, QueueName, QueueSettings, Rate,
};

use super::Arguments;
use super::words::{duration, parsed};

impl Arguments<'_> {
    pub(super) fn queues(&mut self, verb: &str) -> Command {
        let name: QueueName = parsed(self.next());
        match verb {
            "delete-queue" => Command::DeleteQueue(DeleteQueue { name }),
            "pause-queue" => Command::PauseQueue(PauseQueue { name, is_paused: true }),
            "resume-queue" => Command::PauseQueue(PauseQueue { name, is_paused: false }),
            _ => {
                let usual = QueueSettings::default();
                let rate = self.named.remove("rate").map(|rate| {
                    let (starts, per) = rate.split_once('/').unwrap();
                    Rate { starts: parsed(starts), per: duration(per) }
                });
                let settings = QueueSettings {
                    weight: self.number("weight", usual.weight),
                    is_paused: false,
                    max_running: self.named.remove("max").map(parsed),
                    max_running_per_key: self.number("max-per-key", usual.max_running_per_key),
                    rate,
                };
                let known_at =
                    self.named.remove("known").map(|at| cluster_state::LogIndex(parsed(at)));
                Command::PutQueue(PutQueue { name, settings, known_at })
            }
        }
    }
}

/// Returns a queue in words.
pub(crate) fn line(queue: &Queue) -> String {
    let QueueSettings { weight, is_paused, max_running, max_running_per_key, rate } =
        queue.settings;
    let max = max_running.map(|max| format!(", at most {max}")).unwrap_or_default();
    let rate = rate.map(|rate| format!(", {} in {:?}", rate.starts, rate.per)).unwrap_or_default();
    let paused = if is_paused { ", paused" } else { "" };
    format!(
        "queue {}: weight {weight}{max}, {max_running_per_key} of a key{rate}{paused}",
        queue.name
    )
}
