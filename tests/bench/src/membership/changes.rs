//! Write gaps while a voter is added, promoted, removed and replaced, the leader included.

use std::time::Duration;

use clusterctl::local_cluster::Role;
use proto::client::ClientOptions;

use super::{Changing, gap_during, is_close, number};
use crate::failover::spread;
use crate::ours;
use crate::table::Table;

/// The one that comes and goes beside the first three.
const GUEST: Role = Role::Master(4);

pub(super) async fn run(table: &mut Table, trials: u16) -> anyhow::Result<()> {
    let mut changing = Changing::of(ours::start(0, None).await?)?;
    guest(&mut changing, table, trials).await?;
    leader_removed(&mut changing, table, trials).await?;
    leader_replaced(&mut changing, table, trials).await?;
    changing.cluster.stop().await;
    Ok(())
}

fn add(table: &mut Table, what: &str, gaps: Vec<Duration>) {
    let figure = format!("longest write gap while {what}, {} trials", gaps.len());
    table.add(&figure, spread(gaps), None);
}

/// A fourth master joins, becomes a voter, and is removed.
async fn guest(changing: &mut Changing, table: &mut Table, trials: u16) -> anyhow::Result<()> {
    let (mut added, mut promoted, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..trials {
        let writer = changing.cluster.client(ClientOptions::default())?;
        added.push(gap_during(writer.clone(), changing.start_empty(GUEST)).await?);
        promoted.push(gap_during(writer.clone(), changing.promote(GUEST)).await?);
        removed.push(gap_during(writer, changing.remove(GUEST)).await?);
        changing.ended(GUEST).await?;
    }
    add(table, "an empty master joins as a learner", added);
    add(table, "it is promoted", promoted);
    add(table, "it is removed", removed);
    Ok(())
}

/// The leader removes itself, and comes back empty.
async fn leader_removed(
    changing: &mut Changing,
    table: &mut Table,
    trials: u16,
) -> anyhow::Result<()> {
    let mut gaps = Vec::new();
    for _ in 0..trials {
        let leader = changing.leader().await?;
        let writer = changing.cluster.client(ClientOptions::default())?;
        gaps.push(gap_during(writer, changing.remove(leader)).await?);
        changing.ended(leader).await?;
        changing.start_empty(leader).await?;
        changing.promote(leader).await?;
    }
    add(table, "the leader is removed", gaps);
    Ok(())
}

/// A learner takes the leader's place, and the leader comes back empty to be the next learner.
async fn leader_replaced(
    changing: &mut Changing,
    table: &mut Table,
    trials: u16,
) -> anyhow::Result<()> {
    let mut learner = GUEST;
    changing.start_empty(learner).await?;
    let mut gaps = Vec::new();
    for _ in 0..trials {
        let leader = changing.leader().await?;
        let writer = changing.cluster.client(ClientOptions::default())?;
        gaps.push(gap_during(writer, changing.replace(leader, learner)).await?);
        changing.ended(leader).await?;
        changing.start_empty(leader).await?;
        learner = leader;
    }
    add(table, "the leader is replaced", gaps);
    Ok(())
}

impl Changing {
    async fn promote(&self, master: Role) -> anyhow::Result<()> {
        self.member(&["promote".to_owned(), number(master)?.to_string()]).await?;
        self.await_member(master, |member| member.voter && is_close(member)).await
    }

    async fn remove(&self, master: Role) -> anyhow::Result<()> {
        self.member(&["remove".to_owned(), number(master)?.to_string()]).await
    }

    async fn replace(&self, old: Role, new: Role) -> anyhow::Result<()> {
        let (old, new) = (number(old)?.to_string(), number(new)?.to_string());
        self.member(&["replace".to_owned(), old, new]).await?;
        Ok(())
    }
}
