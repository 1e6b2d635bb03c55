//! Immediate reconnection of workers, by the leader's monitor.

use std::time::Duration;

use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;

use super::workers::{no_such_worker, worker_id};
use super::{Answer, Operations, Reading};
use crate::leader::state::{ReconnectError, Target};
use crate::refusal;

/// Time in which the leader must contact all inactive workers: 10,000 that do not answer take two
/// minutes by the default timeout and parallelism.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Operations {
    /// Contacts one inactive worker, or all of them, and returns each outcome when every contact has
    /// ended.
    pub(crate) async fn reconnect(
        &self,
        request: v1::ReconnectRequest,
    ) -> Result<Answer<v1::ReconnectResponse>, Problem> {
        let target = match request.worker_id.as_str() {
            "" => Target::AllInactive,
            id => Target::One(worker_id(id)?),
        };
        let _slot = self.wait_slot()?;
        // A worker that was registered through another master a moment ago is known from here on.
        let mark = self.reach(Reading::default()).await?;
        if !self.leadership().is_leading() {
            return Ok(mark.on(self.leader_peer().reconnect(request, PATIENCE).await?));
        }
        let leader = self.sessions().leading().map_err(|error| refusal::of_session(&error))?;
        let outcomes = match (leader.reconnect.request(target.clone()).await, target) {
            (Ok(outcomes), _) => outcomes,
            (Err(ReconnectError::UnknownWorker), Target::One(id)) => {
                return Err(no_such_worker(&id));
            }
            (Err(error), _) => {
                let problem = Problem::new(ErrorKind::NoLeader, error.to_string());
                return Err(problem.with_outcome(Outcome::Unknown));
            }
        };
        let results = outcomes.into_iter().map(|(worker, outcome)| v1::ReconnectResult {
            worker_id: worker.to_string(),
            outcome: v1::ReconnectOutcome::from(outcome).into(),
        });
        Ok(mark.on(v1::ReconnectResponse { results: results.collect() }))
    }
}
