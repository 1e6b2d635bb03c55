//! Commands about named queues.

use serde::{Deserialize, Serialize};

use crate::{LogIndex, QueueName, QueueSettings};

/// See [`crate::Command::PutQueue`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutQueue {
    /// Name of the queue.
    pub name: QueueName,
    /// Settings, all of them.
    pub settings: QueueSettings,
    /// Log position of the settings from which the caller went on, if that matters: zero for a queue of
    /// which nobody has said anything.
    pub known_at: Option<LogIndex>,
}

/// See [`crate::Command::PauseQueue`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseQueue {
    /// Name of the queue.
    pub name: QueueName,
    /// True to pause it, false to resume it.
    pub is_paused: bool,
}

/// See [`crate::Command::DeleteQueue`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteQueue {
    /// Name of the queue.
    pub name: QueueName,
}
