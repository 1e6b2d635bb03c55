//! Reports of workers on attempts: what they have used and left, beside their outcomes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Level, Payload};

/// Resources that an attempt has used, and what it has left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Its usage, where the worker measures it.
    pub usage: Option<AttemptUsage>,
    /// Content of the file for its result, if it has written one.
    pub result: Option<TaskResult>,
}

impl AttemptReport {
    /// The level since which there are reports.
    pub const LEVEL: Level = Level(2);

    /// Returns it, unless it says nothing.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// Resources that an attempt has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptUsage {
    /// Processor time of all its processes, in microseconds.
    pub cpu_micros: u64,
    /// Most memory that they had at once; absent where it is not measured.
    pub memory_peak_bytes: Option<u64>,
    /// True if the system has killed one of them because their memory was used up.
    pub out_of_memory: bool,
}

/// Result of a task: what its last attempt has written into the file for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskResult {
    /// The content of the file.
    Kept(Payload),
    /// The file was larger than a result may be.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The worker could not read the file.
    Unreadable {
        /// Message of the operating system.
        detail: String,
    },
}

impl TaskResult {
    /// Returns the content, if there is one.
    #[must_use]
    pub const fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Kept(payload) => Some(payload),
            Self::TooLarge { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// Says why there is no content; with a content, how much.
impl fmt::Display for TaskResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(payload) => write!(f, "{} bytes", payload.len()),
            Self::TooLarge { bytes } => {
                let max = Payload::BYTES_MAX;
                write!(f, "result-too-large: the file had {bytes} bytes, at most {max} are kept")
            }
            Self::Unreadable { detail } => write!(f, "result-unreadable: {detail}"),
        }
    }
}
