//! Converts jobs.

use std::sync::Arc;

use cluster_state::Job;
use proto::convert;
use proto::v1;

/// Converts the jobs that are known.
pub(crate) fn jobs(jobs: &[Arc<Job>]) -> v1::JobList {
    v1::JobList { jobs: jobs.iter().map(|job| convert::job(job)).collect() }
}
