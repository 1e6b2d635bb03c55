//! Random commands about named queues.

use std::time::Duration;

use cluster_state::{
    Command, ConcurrencyKey, DeleteQueue, LogIndex, PauseQueue, PutQueue, QueueName, QueueSettings,
    Rate,
};
use proptest::option;
use proptest::prelude::*;

/// Draws an order about queues.
pub(super) fn queues() -> impl Strategy<Value = Command> {
    let known_at = option::weighted(0.1, (0..40_u64).prop_map(LogIndex));
    let put = (queue(), settings(), known_at).prop_map(|(name, settings, known_at)| PutQueue {
        name,
        settings,
        known_at,
    });
    prop_oneof![
        4 => put.prop_map(Command::PutQueue),
        1 => (queue(), any::<bool>())
            .prop_map(|(name, is_paused)| Command::PauseQueue(PauseQueue { name, is_paused })),
        1 => queue().prop_map(|name| Command::DeleteQueue(DeleteQueue { name })),
    ]
}

/// Draws the name of a queue: mostly the one that always exists.
pub(super) fn queue() -> impl Strategy<Value = QueueName> {
    prop_oneof![12 => Just("default"), 1 => Just("a"), 1 => Just("b")]
        .prop_map(|name| name.parse().unwrap())
}

/// Draws a concurrency key. Most tasks have none.
pub(super) fn key() -> impl Strategy<Value = Option<ConcurrencyKey>> {
    option::weighted(0.1, "[xy]".prop_map(|key| key.parse().unwrap()))
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    let rate = (1..4_u32, 1..5_u64)
        .prop_map(|(starts, secs)| Rate { starts, per: Duration::from_secs(secs) });
    // A weight of zero is refused.
    (
        0..4_u32,
        prop::bool::weighted(0.2),
        option::of(1..3_u32),
        1..3_u32,
        option::weighted(0.3, rate),
    )
        .prop_map(|(weight, is_paused, max_running, max_running_per_key, rate)| {
            QueueSettings { weight, is_paused, max_running, max_running_per_key, rate }
        })
}
