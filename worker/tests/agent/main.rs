//! The worker against a scripted leader, over real connections.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod binary;
mod fencing;
mod leaders;
mod processes;
mod relays;
mod running;
mod scripted_leader;
mod spool;
mod strays;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use worker::agent::Agent;
use worker::config::{Config, Layer};
use worker::host::Host;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    layer: Layer,
}

/// A worker in this process, with its directory.
struct Bench {
    agent: Agent,
    worker: SocketAddr,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, more).await
    }

    async fn start_in(dir: tempfile::TempDir, more: &[&str]) -> Self {
        let agent = Agent::start(&config(dir.path(), more), Host::shared().unwrap()).await.unwrap();
        let worker = agent.address();
        Self { agent, worker, dir }
    }

    async fn restart(mut self, more: &[&str]) -> Self {
        self.agent.stop(Duration::from_secs(5)).await;
        drop(self.agent);
        Self::start_in(self.dir, more).await
    }
}

fn config(dir: &Path, more: &[&str]) -> Config {
    let dir = dir.to_str().unwrap();
    let least = ["worker", "--worker-id", "w1", "--listen", "127.0.0.1:0", "--data-dir", dir];
    let layer = CommandLine::try_parse_from(least.iter().chain(more)).unwrap().layer;
    Config::resolve(layer, None).unwrap()
}
