//! A rolling restart under load: no submission fails, and how long each restart stops writes.

use anyhow::Context as _;
use clusterctl::local_cluster::Role;
use proto::client::ClientOptions;

use super::{Changing, gap_during, is_close};
use crate::ours;
use crate::table::{Table, millis};

/// Rolling restarts, each of every master.
const ROUNDS: u16 = 5;

pub(super) async fn run(table: &mut Table) -> anyhow::Result<()> {
    let mut changing = Changing::of(ours::start(0, None).await?)?;
    let mut gaps = Vec::new();
    for _ in 0..ROUNDS {
        // The leader last, as an operator does.
        let leader = changing.leader().await?;
        let mut order = changing.cluster.layout().master_roles().collect::<Vec<_>>();
        order.sort_by_key(|role| *role == leader);
        for master in order {
            // Keyed: a submission that fails for good ends the measurement.
            let writer = changing.cluster.client(ClientOptions::default())?;
            gaps.push(gap_during(writer, changing.restart(master)).await?);
        }
    }
    changing.cluster.stop().await;
    let restarts = gaps.len();
    let longest = gaps.into_iter().max().context("nothing was restarted")?;
    let figure =
        format!("rolling restarts: longest write gap of {restarts}, no keyed submit failed");
    table.add(&figure, millis(longest), None);
    Ok(())
}

impl Changing {
    async fn restart(&mut self, master: Role) -> anyhow::Result<()> {
        self.cluster.stop_one(master).await?;
        self.cluster.start(master)?;
        self.cluster.ready(master).await?;
        self.await_member(master, is_close).await
    }
}
