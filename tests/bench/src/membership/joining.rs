//! The time from the start of an empty master to its vote, with a million live tasks, without and
//! under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clusterctl::local_cluster::Role;
use proto::client::{Client, ClientOptions};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Changing;
use crate::load::per_second;
use crate::ours;
use crate::scale::{submit_waiting, waiting_task};
use crate::table::{Table, millis};

const JOINER: Role = Role::Master(4);
/// Submissions per second under load, as far as the machine can.
const RATE: u32 = 10_000;
/// Tasks in each call of the load, so that the load itself leaves room on a small machine.
const TASKS_PER_CALL: u32 = 10;
/// Clients that share the load.
const CLIENTS: u32 = 16;

pub(super) async fn run(table: &mut Table, tasks: u32) -> anyhow::Result<()> {
    let mut changing = Changing::of(ours::start(0, None).await?)?;
    submit_waiting(&changing.cluster, tasks).await?;

    let quiet = changing.join().await?;
    changing.leave().await?;
    let load = Load::start(&changing.cluster.client(ClientOptions::default())?);
    let busy = changing.join().await?;
    let rate = load.stop().await?;
    changing.cluster.stop().await;

    let figure = format!("empty master joins {tasks} live tasks: started to voter, no load");
    table.add(&figure, millis(quiet), None);
    let value = format!("{} ({:.2} times)", millis(busy), busy.as_secs_f64() / quiet.as_secs_f64());
    table.add(&format!("the same under {rate:.0} submissions/s"), value, None);
    Ok(())
}

impl Changing {
    /// Starts the joiner and waits until the autopilot has promoted it.
    async fn join(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.cluster.start(JOINER)?;
        self.await_member(JOINER, |member| member.voter).await?;
        Ok(started.elapsed())
    }

    async fn leave(&mut self) -> anyhow::Result<()> {
        self.member(&["remove".to_owned(), super::number(JOINER)?.to_string()]).await?;
        self.ended(JOINER).await?;
        Ok(self.cluster.wipe(JOINER)?)
    }
}

/// Clients that submit at a fixed rate.
struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    stop: Arc<AtomicBool>,
    submitted: Arc<AtomicU64>,
    began: Instant,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, submitted) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let work = submit_until(Arc::clone(&stop), client.clone(), Arc::clone(&submitted));
            clients.spawn(work);
        }
        Self { clients, stop, submitted, began: Instant::now() }
    }

    /// Ends it; returns the tasks that were accepted per second.
    async fn stop(self) -> anyhow::Result<f64> {
        let rate = per_second(self.submitted.load(Ordering::Relaxed), self.began.elapsed());
        self.stop.store(true, Ordering::Relaxed);
        for ended in self.clients.join_all().await {
            ended?;
        }
        Ok(rate)
    }
}

async fn submit_until(
    stop: Arc<AtomicBool>,
    client: Client,
    submitted: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let calls_per_second = f64::from(RATE) / f64::from(TASKS_PER_CALL * CLIENTS);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / calls_per_second));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let batch = (0..TASKS_PER_CALL).map(|_| waiting_task()).collect();
        client.submit(batch, None).await?;
        submitted.fetch_add(u64::from(TASKS_PER_CALL), Ordering::Relaxed);
    }
    Ok(())
}
