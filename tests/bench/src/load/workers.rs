//! Measures the cost of a fleet of workers to the masters, and how fast it registers and follows.

use std::time::Duration;

use anyhow::Context as _;
use clusterctl::local_cluster::{LocalCluster, Process, Role};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use proto::client::{Client, ClientError, ClientOptions};
use proto::v1;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, worker_address, worker_id};
use crate::process_usage::{cpu_time, resident_bytes};

/// Registrations under way at once.
const CALLS_SIDE_BY_SIDE: usize = 64;
/// Pause between two looks: short beside what is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Longest wait for the whole fleet, or for a leader.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running cluster without workers of its own, and the fleet that is to join it.
#[derive(Debug)]
pub(crate) struct WorkerTrial<'a> {
    /// The cluster; its masters run.
    pub(crate) cluster: &'a mut LocalCluster,
    /// The fleet; none of it listens.
    pub(crate) fleet: &'a mut Fleet,
    /// Number of workers.
    pub(crate) workers: u32,
    /// Port of each worker, at an IP address of its own.
    pub(crate) port: u16,
}

/// Result of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WorkerReport {
    /// Number of workers.
    pub(crate) workers: u32,
    /// From the start of all of them, all registered and inactive, until all were active, in
    /// microseconds. They start, and the leader is asked to go to inactive workers now: the
    /// monitor's interval is not in it.
    pub(crate) all_active_micros: u128,
    /// Use of the masters during a time of heartbeats only.
    pub(crate) quiet: QuietReport,
    /// Speed of the fleet in following another leader.
    pub(crate) follow: FollowReport,
}

/// The masters under heartbeats alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct QuietReport {
    /// For how long it was watched.
    pub(crate) seconds: f64,
    /// Use of the leader.
    pub(crate) leader: MasterUsage,
    /// Use of the busiest follower.
    pub(crate) follower: MasterUsage,
    /// Heartbeats that were answered meanwhile.
    pub(crate) heartbeats: u64,
    /// Entries that the log grew by meanwhile.
    pub(crate) raft_entries: u64,
    /// The same for each heartbeat.
    pub(crate) raft_entries_per_heartbeat: f64,
}

/// Cost of heartbeats to one master.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct MasterUsage {
    /// Processor time, in percent of one core.
    pub(crate) cpu_percent: f64,
    /// Memory gained since before the first registration, per worker of the whole fleet.
    pub(crate) bytes_per_worker: u64,
}

/// The masters before there are workers.
#[derive(Debug)]
pub(crate) struct Baseline {
    /// Memory of each, in bytes.
    bytes: Vec<(Role, u64)>,
}

/// The fleet after the leader was killed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct FollowReport {
    /// From the kill until another master was seen to lead, in microseconds.
    pub(crate) election_micros: u128,
    /// From then until every worker had a session with it, in microseconds.
    pub(crate) follow_micros: u128,
}

/// The leader of the moment.
#[derive(Debug, Clone, Copy)]
struct Leader {
    role: Role,
    term: u64,
}

impl WorkerTrial<'_> {
    /// Measures the masters before there are workers.
    pub(crate) async fn baseline(&self) -> anyhow::Result<Baseline> {
        leader(&self.client()?, 1).await?;
        let masters = self.cluster.layout().master_roles();
        let bytes = masters.map(|role| Ok((role, resident_bytes(self.pid(role)?)?)));
        Ok(Baseline { bytes: bytes.collect::<anyhow::Result<_>>()? })
    }

    /// Puts all workers on the registry; they are offline.
    pub(crate) async fn register(&self) -> anyhow::Result<()> {
        let client = self.client()?;
        let requests = (0..self.workers).map(|number| v1::RegisterRequest {
            worker_id: worker_id(number),
            address: Some(worker_address(number, self.port)),
            ..v1::RegisterRequest::default()
        });
        stream::iter(requests.map(|request| client.register_worker(request)))
            .buffer_unordered(CALLS_SIDE_BY_SIDE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(())
    }

    /// Starts all workers and measures until all are active. The leader is asked to go to them now;
    /// an error of that call is returned beside the time, because the monitor's interval is in it
    /// then.
    pub(crate) async fn connect(&mut self) -> anyhow::Result<(Duration, Option<ClientError>)> {
        let options = ClientOptions { deadline: PATIENCE, ..ClientOptions::default() };
        let client = self.cluster.client(options)?;
        let started = Instant::now();
        self.fleet.start(PATIENCE).await?;
        let mut refusal = None;
        let mut all_follow = Box::pin(self.fleet.follow(1, PATIENCE));
        // The call may be answered after the last worker has come, or before.
        tokio::select! {
            followed = &mut all_follow => followed?,
            answer = client.reconnect(None) => {
                refusal = answer.err();
                all_follow.await?;
            }
        }
        Ok((started.elapsed(), refusal))
    }

    /// Watches the masters for `duration`.
    pub(crate) async fn watch(
        &self,
        duration: Duration,
        baseline: &Baseline,
    ) -> anyhow::Result<QuietReport> {
        let client = self.client()?;
        let leader = leader(&client, 1).await?.role;
        let entries = last_log_index(&client).await?;
        let heartbeats = self.fleet.heartbeats();

        let (began, before) = (Instant::now(), self.cpu_times(baseline)?);
        sleep(duration).await;
        let (elapsed, after) = (began.elapsed(), self.cpu_times(baseline)?);
        let heartbeats = self.fleet.heartbeats().saturating_sub(heartbeats);
        let raft_entries = last_log_index(&client).await?.saturating_sub(entries);

        let (mut of_leader, mut of_follower) = (MasterUsage::default(), MasterUsage::default());
        for ((&(role, bytes), before), after) in baseline.bytes.iter().zip(before).zip(after) {
            let grown = resident_bytes(self.pid(role)?)?.saturating_sub(bytes);
            let cpu = after.saturating_sub(before).as_secs_f64();
            let usage = if role == leader { &mut of_leader } else { &mut of_follower };
            usage.cpu_percent = usage.cpu_percent.max(100.0 * cpu / elapsed.as_secs_f64());
            usage.bytes_per_worker =
                usage.bytes_per_worker.max(grown / u64::from(self.workers.max(1)));
        }

        Ok(QuietReport {
            seconds: elapsed.as_secs_f64(),
            leader: of_leader,
            follower: of_follower,
            heartbeats,
            raft_entries,
            raft_entries_per_heartbeat: ratio(raft_entries, heartbeats),
        })
    }

    fn cpu_times(&self, baseline: &Baseline) -> anyhow::Result<Vec<Duration>> {
        let masters = baseline.bytes.iter();
        masters.map(|&(role, _)| Ok(cpu_time(self.pid(role)?)?)).collect()
    }

    /// Kills the leader and measures until every worker follows the next one.
    pub(crate) async fn fail_over(&mut self) -> anyhow::Result<FollowReport> {
        let old = leader(&self.client()?, 1).await?;
        let survivors = self.cluster.layout().master_roles().filter(|role| *role != old.role);
        let survivors = survivors.map(|role| self.cluster.layout().grpc_address(role));
        let client = Client::new(survivors, ClientOptions::default())?;
        // Connects, so that only the failover is measured.
        client.leader().await?;
        let killed = Instant::now();
        self.cluster.kill(old.role).await?;
        let new = leader(&client, old.term + 1).await?;
        let elected = Instant::now();
        self.fleet.follow(new.term, PATIENCE).await?;
        Ok(FollowReport {
            election_micros: elected.duration_since(killed).as_micros(),
            follow_micros: elected.elapsed().as_micros(),
        })
    }

    fn client(&self) -> anyhow::Result<Client> {
        Ok(self.cluster.client(ClientOptions::default())?)
    }

    fn pid(&self, role: Role) -> anyhow::Result<u32> {
        let process = self.cluster.processes().iter().find(|process| process.role() == role);
        process.map(Process::pid).context("a master is not ours")
    }
}

/// Returns the leader of `term` or a later one, once there is one.
async fn leader(client: &Client, term: u64) -> anyhow::Result<Leader> {
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = client.leader().await?;
        let number = seen.leader_id.and_then(|id| u16::try_from(id).ok());
        if let Some(number) = number.filter(|_| seen.term >= term) {
            return Ok(Leader { role: Role::Master(number), term: seen.term });
        }
        if Instant::now() >= until {
            anyhow::bail!("there was no leader in time");
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn last_log_index(client: &Client) -> anyhow::Result<u64> {
    let status = client.status().await?;
    let leader = status.leader_id.context("the cluster has no leader")?;
    let member = status.members.iter().find(|member| member.id == leader);
    member.and_then(|member| member.last_log_index).context("the cluster has no leader")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below the precision of a double"
)]
fn ratio(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}
