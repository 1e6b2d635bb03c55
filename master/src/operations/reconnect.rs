//! Immediate reconnection of workers, by the leader's monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::WorkerId;
use proto::problem::{self, ErrorKind, Problem};

use super::views::View;
use super::workers::no_such_worker;
use super::{Answer, Operations, Reading};
use crate::leader::state::{Outcome, ReconnectError, Target};
use crate::peer::forwarded;
use crate::refusal;

/// Time in which the leader must contact all inactive workers: 10,000 that do not answer take two
/// minutes by the default timeout and parallelism.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Operations {
    /// Contacts one inactive worker, or all of them, and returns each outcome when every contact has
    /// ended.
    pub(crate) async fn reconnect(
        &self,
        target: Target,
    ) -> Result<Answer<View<BTreeMap<WorkerId, Outcome>, forwarded::ReconnectResponse>>, Problem>
    {
        let _slot = self.wait_slot()?;
        // A worker that was registered through another master a moment ago is known from here on.
        let mark = self.reach(Reading::default()).await?;
        if !self.is_leading() {
            let response = self.leader_peer().reconnect(&target, PATIENCE).await?;
            return Ok(mark.on(View::Leaders(response)));
        }
        let leader = self.sessions().leading().map_err(|error| refusal::of_session(&error))?;
        match (leader.reconnect.request(target.clone()).await, target) {
            (Ok(outcomes), _) => Ok(mark.on(View::Own(outcomes))),
            (Err(ReconnectError::UnknownWorker), Target::One(id)) => Err(no_such_worker(&id)),
            (Err(error), _) => {
                let problem = Problem::new(ErrorKind::NoLeader, error.to_string());
                Err(problem.with_outcome(problem::Outcome::Unknown))
            }
        }
    }
}
