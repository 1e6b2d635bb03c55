//! Jobs, by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::State;
use crate::{Job, JobEnd, JobId};

impl State {
    /// Returns the jobs that are under way, and the last ones that have ended, oldest first.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Arc<Job>> + DoubleEndedIterator {
        self.jobs.values()
    }

    /// Returns the jobs that are under way, oldest first.
    pub fn jobs_under_way(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values().filter(|job| job.is_under_way())
    }

    /// Returns a job.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&Arc<Job>> {
        self.jobs.get(&id)
    }

    pub(crate) fn put_job(&mut self, job: Arc<Job>) {
        self.jobs.insert(job.id, job);
    }

    pub(crate) fn remove_job(&mut self, id: JobId) {
        self.jobs.remove(&id);
    }

    /// Returns whether the jobs are few enough, and none has passed more than there is.
    pub(crate) fn jobs_are_in_step(&self) -> bool {
        let limits = self.limits();
        let is_sound = |(id, job): (&JobId, &Arc<Job>)| {
            let is_at_its_end = job.passed == job.total();
            let end = job.end.as_ref().map(|(_, end)| end);
            *id == job.id
                && job.from <= job.to
                && job.passed <= job.total()
                && is_at_its_end == (end == Some(&JobEnd::Completed))
        };
        self.jobs.len() <= limits.jobs_kept_max
            && self.jobs_under_way().count() <= limits.jobs_under_way_max
            && self.jobs.iter().all(is_sound)
    }
}

/// Jobs by id.
pub(super) type Jobs = BTreeMap<JobId, Arc<Job>>;
