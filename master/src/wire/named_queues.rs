//! Converts named queues.

use cluster_state::{Hold, QueueLoad};
use proto::convert;
use proto::v1;

use crate::operations::ShownQueue;

/// Parts of a share that are the whole.
const PARTS: f64 = 1e9;

/// Converts a named queue.
#[expect(clippy::cast_precision_loss, reason = "a share is told roughly")]
pub(crate) fn named_queue(shown: ShownQueue) -> v1::Queue {
    let ShownQueue { name, queue, load, share, held } = shown;
    let QueueLoad { tasks, waiting, running, allocated: _ } = load;
    let next_start = match held {
        Some(Hold::Rate { until, .. }) => Some(convert::rfc3339(until)),
        Some(Hold::Paused | Hold::MaxRunning { .. } | Hold::Key { .. }) | None => None,
    };
    v1::Queue {
        tasks,
        waiting,
        running,
        share: share as f64 / PARTS,
        held: held.map(|held| format!("it {held}")),
        next_start_at: next_start,
        ..convert::queue(&name, queue.as_deref())
    }
}

/// Converts all named queues.
pub(crate) fn queue_list(queues: Vec<ShownQueue>) -> v1::QueueList {
    v1::QueueList { queues: queues.into_iter().map(named_queue).collect() }
}
