//! A backup of etcd, saved and restored with its own program.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::v3::kv_client::KvClient;
use super::v3::request_op::Request;
use super::v3::{PutRequest, RequestOp, TxnRequest};
use super::{Etcd, MEMBERS, VALUE_BYTES, channel, endpoint, initial_cluster, peer, put_on_any};
use crate::commands::finish;

/// Keys in each transaction while it is filled: etcd takes 128 at most.
const KEYS_PER_CALL: u32 = 100;

impl Etcd {
    /// Puts so many keys.
    pub(crate) async fn fill(&self, keys: u32) -> anyhow::Result<()> {
        let leader = channel(self.leader().await?).context("no address")?;
        let mut client = KvClient::new(leader);
        let mut next = 0;
        while next < keys {
            let end = keys.min(next + KEYS_PER_CALL);
            let success = (next..end).map(put).collect();
            client.txn(TxnRequest { success }).await?;
            next = end;
        }
        Ok(())
    }

    /// Saves a backup; tells how long that took.
    pub(crate) async fn save(&self, file: &Path) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut command = etcdctl();
        command.args(["--endpoints", &endpoint(0), "snapshot", "save"]).arg(file);
        finish(command).await?;
        Ok(started.elapsed())
    }

    /// Restores a backup into three members at once, and starts them. Tells how long that took, and
    /// how long it took until the first put was accepted.
    pub(crate) async fn restore(file: &Path) -> anyhow::Result<(Duration, Duration)> {
        let mut etcd = Self { members: Vec::new(), dir: TempDir::new()? };
        let started = Instant::now();
        let mut restoring = JoinSet::new();
        for member in 0..MEMBERS {
            let mut command = etcdctl();
            command.args(["snapshot", "restore"]).arg(file);
            command.args(["--name", &format!("m{member}"), "--data-dir"]);
            command.arg(etcd.dir.path().join(format!("m{member}")));
            command.args(["--initial-cluster", &initial_cluster()]);
            command.args(["--initial-advertise-peer-urls", &peer(member)]);
            restoring.spawn(finish(command));
        }
        for ended in restoring.join_all().await {
            ended?;
        }
        let restored = started.elapsed();
        etcd.spawn_all()?;
        let clients = (0..MEMBERS).filter_map(channel).map(KvClient::new).collect::<Vec<_>>();
        put_on_any(&clients).await;
        Ok((restored, started.elapsed()))
    }

    /// Returns true if the program for backups is installed, too.
    pub(crate) fn can_save() -> bool {
        std::process::Command::new("etcdctl").arg("version").output().is_ok()
    }
}

fn put(number: u32) -> RequestOp {
    let key = format!("bench/{number}").into_bytes();
    let put = PutRequest { key, value: vec![b'x'; VALUE_BYTES] };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

fn etcdctl() -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3");
    command
}
