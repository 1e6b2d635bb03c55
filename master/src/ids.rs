//! Reads ids in requests. A text that cannot be an id names nothing that exists.

use std::str::FromStr;

use cluster_state::{
    InvalidId, JobId, OrphanId, QueueName, ScheduleName, TaskId, TokenId, WorkerId,
};
use proto::problem::{ErrorKind, Problem};

/// Reads the id of a task.
pub(crate) fn task(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::new(ErrorKind::NotFound, error.to_string()))
}

/// Reads the id of a job.
pub(crate) fn job(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::new(ErrorKind::NotFound, error.to_string()))
}

/// Reads the id of a worker.
pub(crate) fn worker(text: &str) -> Result<WorkerId, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::new(ErrorKind::NotFound, error.to_string()))
}

/// Reads the id of a join token.
pub(crate) fn token(text: &str) -> Result<TokenId, Problem> {
    text.parse().map_err(|_: InvalidId| no_such_token(text))
}

/// Reads the public part of a user's token.
pub(crate) fn user_token(text: &str) -> Result<TokenId, Problem> {
    text.parse().map_err(|_: InvalidId| {
        Problem::new(ErrorKind::NotFound, "no user has such a token: expected its public part")
    })
}

/// Reads the name of a schedule.
pub(crate) fn schedule(text: &str) -> Result<ScheduleName, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::new(ErrorKind::NotFound, error.to_string()))
}

/// Reads the name of a queue.
pub(crate) fn queue(text: &str) -> Result<QueueName, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::new(ErrorKind::NotFound, error.to_string()))
}

/// Reads the id of an orphaned result.
pub(crate) fn orphan(text: &str) -> Result<OrphanId, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::new(ErrorKind::NotFound, error.to_string()))
}

/// Reports a token that does not exist.
pub(crate) fn no_such_token(id: impl std::fmt::Display) -> Problem {
    Problem::new(ErrorKind::NotFound, format!("there is no token '{id}'"))
}

/// Reads the position at which a page ended: the id of its last element.
pub(crate) fn cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::parse)
        .transpose()
        .map_err(|_| Problem::new(ErrorKind::Malformed, "cursor is not one that a page ended with"))
}
