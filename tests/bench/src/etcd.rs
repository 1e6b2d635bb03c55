//! Three etcd processes, with their defaults, and a load of puts like our load of submissions.

mod backup;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::load::Latencies;
use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use self::v3::kv_client::KvClient;
use self::v3::maintenance_client::MaintenanceClient;
use self::v3::{PutRequest, StatusRequest};
use crate::calls::{self, CallReport};

/// Code generated from the few messages that are needed.
mod v3 {
    #![expect(
        clippy::all,
        clippy::restriction,
        unused_qualifications,
        unreachable_pub,
        reason = "generated"
    )]
    tonic::include_proto!("etcdserverpb");
}

/// First client port of the members; their peer ports are 100 above.
const BASE_PORT: u16 = 9_470;
const MEMBERS: u16 = 3;
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A value that makes a put as large as our task.
const VALUE_BYTES: usize = 256;

/// A cluster that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Etcd {
    members: Vec<Child>,
    dir: TempDir,
}

impl Etcd {
    /// Starts three members and waits for a leader; nothing when etcd is not installed.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        if Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("etcd is not installed: nothing to compare with");
            return Ok(None);
        }
        let mut etcd = Self { members: Vec::new(), dir: TempDir::new()? };
        etcd.spawn_all()?;
        etcd.leader().await?;
        Ok(Some(etcd))
    }

    fn spawn_all(&mut self) -> anyhow::Result<()> {
        for member in 0..MEMBERS {
            // Another's etcd there would be measured in place of ours.
            std::net::TcpListener::bind(endpoint(member))
                .with_context(|| format!("etcd cannot listen on {}", endpoint(member)))?;
            let child = self.spawn(member)?;
            self.members.push(child);
        }
        Ok(())
    }

    fn spawn(&self, member: u16) -> anyhow::Result<Child> {
        let client = format!("http://{}", endpoint(member));
        let log = std::fs::File::create(self.dir.path().join(format!("m{member}.log")))?;
        Command::new("etcd")
            .args(["--name", &format!("m{member}")])
            .arg("--data-dir")
            .arg(self.dir.path().join(format!("m{member}")))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &initial_cluster()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start etcd")
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.members.iter().map(Child::id)
    }

    /// Returns the member that leads, once all agree.
    pub(crate) async fn leader(&self) -> anyhow::Result<u16> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(leader) = self.agreed_leader().await {
                return Ok(leader);
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("etcd has no leader; its logs are in {}", self.dir.path().display())
    }

    async fn agreed_leader(&self) -> Option<u16> {
        let mut leads = None;
        let mut believed = Vec::new();
        for member in 0..MEMBERS {
            let mut client = MaintenanceClient::new(channel(member)?);
            let status = client.status(StatusRequest {}).await.ok()?.into_inner();
            if status.header?.member_id == status.leader {
                leads = Some(member);
            }
            believed.push(status.leader);
        }
        believed.dedup();
        leads.filter(|_| believed.len() == 1)
    }

    /// `clients` that put side by side over all members, each waiting for its answer.
    pub(crate) async fn load(
        &self,
        clients: u16,
        duration: Duration,
    ) -> anyhow::Result<CallReport> {
        let channels = (0..MEMBERS).filter_map(channel).collect::<Vec<_>>();
        let clients = channels.iter().cycle().take(usize::from(clients)).enumerate();
        let clients = clients.map(|(number, channel)| {
            let client = KvClient::new(channel.clone());
            move |until| put_until(until, client, number)
        });
        calls::run(duration, clients).await
    }

    /// Kills the leader, measures until a client of the survivors has a put accepted, and brings
    /// the member back.
    pub(crate) async fn failover(&mut self) -> anyhow::Result<Duration> {
        let leader = self.leader().await?;
        let survivors = (0..MEMBERS).filter(|member| *member != leader);
        let survivors = survivors.filter_map(channel).map(KvClient::new).collect::<Vec<_>>();
        put_on_any(&survivors).await;

        let killed = Instant::now();
        let child = self.members.get_mut(usize::from(leader)).context("no such member")?;
        child.kill()?;
        child.wait()?;
        put_on_any(&survivors).await;
        let gap = killed.elapsed();

        let back = self.spawn(leader)?;
        *self.members.get_mut(usize::from(leader)).context("no such member")? = back;
        self.leader().await?;
        Ok(gap)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill().ok();
            member.wait().ok();
        }
    }
}

fn endpoint(member: u16) -> String {
    format!("127.0.0.1:{}", BASE_PORT + member)
}

fn peer(member: u16) -> String {
    format!("http://127.0.0.1:{}", BASE_PORT + 100 + member)
}

fn initial_cluster() -> String {
    (0..MEMBERS).map(|n| format!("m{n}={}", peer(n))).collect::<Vec<_>>().join(",")
}

fn channel(member: u16) -> Option<Channel> {
    proto::channel::Dialer::plain().connect_lazily(&endpoint(member)).ok()
}

async fn put_until(
    until: Instant,
    mut client: KvClient<Channel>,
    number: usize,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let value = vec![b'x'; VALUE_BYTES];
    let mut count = 0_u64;
    while Instant::now() < until {
        // Every submission makes a new record, so every put does too.
        let key = format!("bench/{number}/{count}").into_bytes();
        count += 1;
        let sent = Instant::now();
        client.put(PutRequest { key, value: value.clone() }).await?;
        latencies.record(sent.elapsed());
    }
    Ok(latencies)
}

/// Puts until one is accepted, on each member in turn, as our client does.
async fn put_on_any(members: &[KvClient<Channel>]) {
    for client in members.iter().cycle() {
        let mut client = client.clone();
        let request = PutRequest { key: b"probe".to_vec(), value: vec![b'x'; VALUE_BYTES] };
        let put = tokio::time::timeout(Duration::from_millis(250), client.put(request)).await;
        if matches!(put, Ok(Ok(_))) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
