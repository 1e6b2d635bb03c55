//! Converts between wire and domain, next to the wire: the domain never learns of it. Input is
//! checked here, so that no code behind it meets a value out of bounds.

mod assignment;
mod attempt;
mod audit;
mod dependencies;
mod detail;
mod faults;
mod job;
mod kinds;
mod orphan;
mod queue;
mod report;
mod resources;
mod schedule;
mod session;
mod spec;
mod task;
mod time;
mod timing;
mod user;
mod worker;

pub use assignment::assignments;
pub use attempt::{NotReportable, attempt_reason, attempt_refs, finished_attempts, result_bytes};
pub use audit::{AuditQuery, audit_record};
pub use faults::{Breach, Invalid};
pub use job::{job, task_filter};
pub use orphan::{orphan, orphan_selection};
pub use queue::{NewQueue, queue};
pub use report::show_result;
pub use resources::processors;
pub use schedule::{NewSchedule, UnknownOverlap, schedule};
pub use session::{Registration, join_token, unfitness};
pub(crate) use spec::CONSTRAINTS_MAX;
pub use spec::{
    MAX_ATTEMPTS_DEFAULT, PRIORITY_DEFAULT, RETRY_BACKOFF_DEFAULT, TaskBatch, task_batch,
};
pub use task::{show_environment, submitted, task};
pub use time::{InvalidTime, parse_rfc3339, rfc3339};
pub use user::{NewUserToken, user_token};
pub use worker::{
    drain_timeout, label_changes, mass_loss, scheduling_order, token, token_ttl, worker,
    worker_history,
};

use std::str::FromStr;

use cluster_state::InvalidId;

/// Parses an id in a message; an error names its place.
pub fn id<T: FromStr<Err = InvalidId>>(pointer: &str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|error: InvalidId| Invalid::malformed(pointer, &error.into()))
}

/// Returns the JSON pointer (RFC 6901) of `key` in the map at `pointer`.
pub(crate) fn member(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
