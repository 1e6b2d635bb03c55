//! Masters that come, go and are restarted under load: how long writes stop, and the time until an
//! empty master is a voter.

mod changes;
mod joining;
mod rolling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clusterctl::local_cluster::{LocalCluster, Role};
use proto::client::{Client, ClientOptions};
use proto::v1;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::commands::{clusterctl, finish};
use crate::failover::longest_gap;
use crate::table::Table;

/// Time for which writers write before and after what is measured.
const MARGIN: Duration = Duration::from_millis(500);
/// Pause between two looks at the members.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Time for a master to become what is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn run(table: &mut Table, tasks: u32, trials: u16) -> anyhow::Result<()> {
    changes::run(table, trials).await?;
    rolling::run(table).await?;
    joining::run(table, tasks).await
}

/// A cluster whose masters change, with a client of the first ones.
struct Changing {
    cluster: LocalCluster,
    client: Client,
}

impl Changing {
    fn of(cluster: LocalCluster) -> anyhow::Result<Self> {
        let client = cluster.client(ClientOptions::default())?;
        Ok(Self { cluster, client })
    }

    /// Runs `clusterctl member`.
    async fn member(&self, args: &[String]) -> anyhow::Result<()> {
        let mut command = clusterctl()?;
        let endpoints = self.cluster.layout().endpoints().collect::<Vec<_>>().join(",");
        command.args(["--endpoints", &endpoints, "member"]).args(args);
        finish(command).await
    }

    /// Waits until a member is as `is_so` says.
    async fn await_member(
        &self,
        master: Role,
        is_so: impl Fn(&v1::Member) -> bool,
    ) -> anyhow::Result<()> {
        let id = number(master)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let members = self.client.status().await?.members;
            if members.iter().any(|member| member.id == id && is_so(member)) {
                return Ok(());
            }
            sleep(LOOK_INTERVAL).await;
        }
        bail!("{master} did not become what it should: {:?}", self.client.status().await?)
    }

    async fn leader(&self) -> anyhow::Result<Role> {
        let leader = self.client.leader().await?.leader_id.context("no leader")?;
        Ok(Role::Master(u16::try_from(leader)?))
    }

    /// Starts a master without data, which joins.
    async fn start_empty(&mut self, master: Role) -> anyhow::Result<()> {
        self.cluster.wipe(master)?;
        self.cluster.start(master)?;
        self.await_member(master, is_close).await
    }

    /// Waits until a master that was removed has ended by itself.
    async fn ended(&mut self, master: Role) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.cluster.ended(master)).await??;
        Ok(())
    }
}

/// Writes while something happens, and tells the longest time without an accepted write.
async fn gap_during(
    writer: Client,
    change: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    writing.spawn(longest_gap(writer, Arc::clone(&stop)));
    sleep(MARGIN).await;
    change.await?;
    sleep(MARGIN).await;
    stop.store(true, Ordering::Relaxed);
    writing.join_next().await.context("nobody wrote")?.context("the writers ended badly")?
}

/// Returns true for a member that has nearly all that the leader has.
fn is_close(member: &v1::Member) -> bool {
    /// Entries that are on their way under load.
    const LAG_MAX: u64 = 500;
    member.reachable && member.lag.is_some_and(|lag| lag <= LAG_MAX)
}

fn number(master: Role) -> anyhow::Result<u64> {
    match master {
        Role::Master(number) => Ok(u64::from(number)),
        Role::Worker(_) => bail!("{master} is no master"),
    }
}
