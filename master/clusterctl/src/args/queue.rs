//! Commands about named queues.

use std::str::FromStr;

use clap::{Args, Subcommand};

/// Actions on named queues.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the named queues
    List,
    /// Show one named queue
    Show {
        /// Name of the queue
        name: String,
    },
    /// Create a queue, or change what the flags name of it
    Set(SetQueueArgs),
    /// Start none of its tasks until the queue is resumed; those that run go on
    Pause {
        /// Name of the queue
        name: String,
    },
    /// Let a paused queue go on
    Resume {
        /// Name of the queue
        name: String,
    },
    /// Delete a queue that has no live tasks and that no schedule names
    Delete {
        /// Name of the queue
        name: String,
    },
}

/// Changes of a named queue.
#[derive(Debug, Args)]
pub struct SetQueueArgs {
    /// Name of the queue
    pub name: String,
    /// Share of the fleet beside other queues with waiting tasks, 1 to 10000 [default: 1]
    #[arg(long)]
    pub weight: Option<u32>,
    /// Most tasks of it that run at once, or none for any number
    #[arg(long, value_name = "COUNT|none")]
    pub max_running: Option<OrNone<u32>>,
    /// Most tasks with the same concurrency key that run at once [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub max_running_per_key: Option<u32>,
    /// Most starts in a time, as in 100/1m, or none for any number
    #[arg(long, value_name = "STARTS/DURATION|none")]
    pub rate: Option<OrNone<RateText>>,
}

/// A value, or none in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrNone<T>(pub Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value)))
    }
}

/// A number of starts and a time, as the masters read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateText {
    /// Number of starts.
    pub starts: u32,
    /// Time in which there may be so many.
    pub per: String,
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of starts and a time, as in 100/1m, or none")]
pub struct InvalidRate;

impl FromStr for RateText {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (starts, per) = text.split_once('/').ok_or(InvalidRate)?;
        let starts = starts.parse().map_err(|_| InvalidRate)?;
        Ok(Self { starts, per: per.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let rate = |text: &str| text.parse::<OrNone<RateText>>();
        assert_eq!(rate("none"), Ok(OrNone(None)));
        let read = RateText { starts: 100, per: "1m".to_owned() };
        assert_eq!(rate("100/1m"), Ok(OrNone(Some(read))));
        assert_eq!((rate("100"), rate("x/1m")), (Err(InvalidRate), Err(InvalidRate)));
    }
}
