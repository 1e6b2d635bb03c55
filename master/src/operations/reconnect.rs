//! Immediate reconnection checks, which the leader's monitor makes.

use std::time::Duration;

use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;

use super::workers::{no_such_worker, worker_id};
use super::{Mark, Operations, Reading};
use crate::leader::reconnection::{DemandError, Whom};
use crate::refusal;

/// How long another master may take to go to all inactive workers: 10,000 that do not answer, by
/// the default timeout and parallelism, take two minutes.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Operations {
    /// Goes to one inactive worker, or to all of them, and says what was found when every attempt
    /// has ended.
    pub(crate) async fn reconnect(
        &self,
        request: v1::ReconnectRequest,
    ) -> Result<(v1::ReconnectResponse, Mark), Problem> {
        let whom = match request.worker_id.as_str() {
            "" => Whom::AllInactive,
            id => Whom::One(worker_id(id)?),
        };
        let _slot = self.wait_slot()?;
        // A worker that was registered through another master a moment ago is known from here on.
        let mark = self.reach(Reading::default()).await?;
        if !self.leadership().is_leading() {
            return Ok((self.leader_peer().reconnect(request, PATIENCE).await?, mark));
        }
        let lead = self.sessions().lead().map_err(|error| refusal::of_session(&error))?;
        let findings = match (lead.reconnect.demand(whom.clone()).await, whom) {
            (Ok(findings), _) => findings,
            (Err(DemandError::UnknownWorker), Whom::One(id)) => return Err(no_such_worker(&id)),
            (Err(error), _) => {
                let problem = Problem::new(ErrorKind::NoLeader, error.to_string());
                return Err(problem.with_outcome(Outcome::Unknown));
            }
        };
        let results = findings.into_iter().map(|(worker, finding)| v1::ReconnectResult {
            worker_id: worker.to_string(),
            outcome: finding.name().to_owned(),
        });
        Ok((v1::ReconnectResponse { results: results.collect() }, mark))
    }
}
