//! Measures how long writes stop when the leader is killed.

use std::time::Duration;

use proto::client::{Client, ClientOptions};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Latencies, small_task};
use clusterctl::local_cluster::{LocalCluster, Role};

/// Nobody by this name exists, so that the tasks only wait.
const ABSENT_WORKER: &str = "absent";
/// Pause between two looks at who leads.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for a leader and for a restarted master to catch up.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Entries by which a master may lag that counts as caught up.
const LAG_MAX: u64 = 10;

/// Leaders to be killed in a running cluster without workers.
#[derive(Debug)]
pub(crate) struct FailoverTrials<'a> {
    /// The cluster.
    pub(crate) cluster: &'a mut LocalCluster,
}

/// Result of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FailoverReport {
    /// From each kill to the first accepted write, in microseconds.
    pub(crate) trials_micros: Vec<u128>,
    /// Their median.
    pub(crate) median_micros: u128,
    /// Their maximum.
    pub(crate) max_micros: u128,
}

impl FailoverReport {
    /// Sums up the trials.
    #[must_use]
    pub(crate) fn of(trials: &[Duration]) -> Self {
        let mut latencies = Latencies::default();
        trials.iter().for_each(|trial| latencies.record(*trial));
        Self {
            trials_micros: trials.iter().map(Duration::as_micros).collect(),
            median_micros: latencies.median().as_micros(),
            max_micros: latencies.longest().as_micros(),
        }
    }
}

impl FailoverTrials<'_> {
    /// Kills the leader, measures until a client of the survivors has a write accepted, and brings
    /// the killed master back.
    pub(crate) async fn run_one(&mut self) -> anyhow::Result<Duration> {
        let leader = self.settled_leader().await?;
        let survivors = self.cluster.layout().master_roles().filter(|role| *role != leader);
        let survivors = survivors.map(|role| self.cluster.layout().grpc_address(role));
        let client = Client::new(survivors, ClientOptions::default())?;
        // Connects and shows that writes work, so that only the failover is measured.
        write(&client).await?;

        let killed = Instant::now();
        self.cluster.kill(leader).await?;
        write(&client).await?;
        let gap = killed.elapsed();

        self.cluster.start(leader)?;
        self.cluster.ready(leader).await?;
        Ok(gap)
    }

    /// Returns the leader, once every master is reachable and has caught up with it.
    async fn settled_leader(&self) -> anyhow::Result<Role> {
        let client = self.cluster.client(ClientOptions::default())?;
        let masters = usize::from(self.cluster.layout().masters);
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let status = client.status().await?;
            let caught_up = status
                .members
                .iter()
                .filter(|member| member.reachable && member.lag.is_none_or(|lag| lag <= LAG_MAX));

            let leader = status.leader_id.and_then(|id| u16::try_from(id).ok());
            if let Some(leader) = leader
                && caught_up.count() == masters
            {
                return Ok(Role::Master(leader));
            }

            if Instant::now() >= deadline {
                anyhow::bail!("the cluster did not settle in time");
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

async fn write(client: &Client) -> anyhow::Result<()> {
    client.submit(vec![small_task(Some(ABSENT_WORKER.to_owned()))], None).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_sums_up_the_trials() {
        let report = FailoverReport::of(&[3, 1, 2].map(Duration::from_millis));
        assert_eq!(report.trials_micros, [3_000, 1_000, 2_000]);
        assert_eq!((report.median_micros, report.max_micros), (2_000, 3_000));
    }
}
