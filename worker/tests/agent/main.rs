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

use daemon::config::{Invocation, invocation};
use eventually::{PATIENCE, eventually, require};
use worker::agent::Agent;
use worker::config::{Config, command};
use worker::host::Host;

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

/// Returns what a task has written to a file, once its line is whole.
async fn written(path: &Path) -> String {
    eventually("a task has written", PATIENCE, async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        require(text.ends_with('\n'), || format!("{} holds {text:?}", path.display()))?;
        Ok(text.trim().to_owned())
    })
    .await
}

fn config(dir: &Path, more: &[&str]) -> Config {
    let dir = dir.to_str().unwrap();
    let least = ["worker", "--worker-id", "w1", "--listen", "127.0.0.1:0", "--data-dir", dir];
    let matches = command().try_get_matches_from(least.iter().chain(more)).unwrap();
    let invocation = invocation(&matches, |_| None).unwrap();
    let Invocation::Run(config) = invocation else { unreachable!("it is to run: {invocation:?}") };
    *config
}
