//! Events of orders about many tasks. Pure.

use cluster_state::{Job, Scope, Timestamp};
use proto::convert;
use proto::names::name_of;
use proto::v1;
use serde::Serialize;

/// An order about many tasks, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct JobStatus {
    job_id: String,
    action: &'static str,
    /// `running`, `completed` or `stopped`.
    state: String,
    done: u64,
    refused: u64,
    /// Part of the ids of tasks that it has passed.
    percent: u32,
    /// Reason for which it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    timestamp: String,
    /// Scope of the user who gave the order.
    #[serde(skip)]
    scope: Option<Scope>,
}

impl JobStatus {
    pub(super) fn of(job: &Job, at: Timestamp) -> Self {
        let v1::Job { job_id, state, done, refused, percent, reason, .. } = convert::job(job);
        Self {
            job_id,
            action: job.action.name(),
            state: name_of::<v1::JobState>(state).into_owned(),
            done,
            refused,
            percent,
            reason,
            timestamp: convert::rfc3339(at),
            scope: job.filter.scope.clone(),
        }
    }

    /// Returns the scope of the tasks that it is about, if its user has one.
    pub(super) const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }
}
