//! The masters of a cluster that a measurement asks.

use std::time::{Duration, Instant};

use anyhow::bail;
use clusterctl::local_cluster::{LocalCluster, Process};
use reqwest::StatusCode;

use crate::machine::CpuWatch;

/// Time for a master to lead.
const PATIENCE: Duration = Duration::from_secs(120);

/// Master that is asked, and its process.
pub(crate) struct Asked {
    pub(crate) address: String,
    pub(crate) pid: u32,
}

/// Returns the leader, and a follower.
pub(crate) async fn leader_and_follower(cluster: &LocalCluster) -> anyhow::Result<(Asked, Asked)> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let (mut leaders, mut followers) = (Vec::new(), Vec::new());
        for process in cluster.processes() {
            let Some(address) = cluster.layout().http_address(process.role()) else { continue };
            let answer = reqwest::get(format!("http://{address}/leader")).await;
            let asked = Asked { address, pid: process.pid() };
            match answer.map(|answer| answer.status()) {
                Ok(StatusCode::OK) => leaders.push(asked),
                Ok(_) => followers.push(asked),
                Err(_) => {}
            }
        }
        if let (Some(leader), Some(follower)) = (leaders.pop(), followers.pop()) {
            return Ok((leader, follower));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("no master leads")
}

pub(crate) fn watch(cluster: &LocalCluster) -> CpuWatch {
    CpuWatch::start(cluster.processes().iter().map(Process::pid))
}
