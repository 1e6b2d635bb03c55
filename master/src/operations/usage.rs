//! Usage that workers report of their machines: known to the leader, shown by any master.

use std::sync::Arc;

use cluster_state::WorkerId;
use futures_util::stream::BoxStream;
use proto::problem::Problem;

use super::workers::no_such_worker;
use super::{Answer, Operations, Reading};
use crate::events::UsageListener;
use crate::peer::{forwarded, leads_no_more};

impl Operations {
    /// The latest usage of a worker and its recent past; without a latest sample while there is
    /// none. Only the leader knows, so nothing is known without one.
    pub(crate) async fn usage(
        &self,
        id: &WorkerId,
        reading: Reading,
    ) -> Result<Answer<forwarded::WorkerMetrics>, Problem> {
        let mark = self.reach(reading).await?;
        if !self.is_leading() {
            return Ok(mark.on(self.leader_peer().usage(id).await?));
        }
        let standing = self.node().reader().with(|state| {
            let worker = state.worker(id)?;
            Some(worker.is_active().then_some(worker.epoch))
        });
        let session = standing.ok_or_else(|| no_such_worker(id))?;
        let known = session.and_then(|epoch| {
            // A leader that is still taking over has heard nothing yet.
            self.sessions().leading().ok()?.usage.metrics(id, epoch)
        });
        let nothing = || {
            let worker_id = id.to_string();
            forwarded::WorkerMetrics { worker_id, ..forwarded::WorkerMetrics::default() }
        };
        Ok(mark.on(known.unwrap_or_else(nothing)))
    }

    /// Watches the usage of all workers as it is reported, whoever leads.
    pub(crate) fn watch_usage(&self) -> BoxStream<'static, Arc<forwarded::UsageSample>> {
        self.listen_to_usage().into_stream()
    }

    /// Like [`Self::watch_usage`], for one listener at its own pace.
    pub(crate) fn listen_to_usage(&self) -> UsageListener {
        self.shared.usage.listen()
    }

    /// Watches the usage of all workers as it is reported to this master, until it leads no more.
    pub(crate) fn watch_own_usage(
        &self,
    ) -> Result<BoxStream<'static, Arc<forwarded::UsageSample>>, Problem> {
        let leader = self.sessions().leading().map_err(|_| leads_no_more())?;
        Ok(UsageListener::from(leader.usage.watch()).into_stream())
    }
}
