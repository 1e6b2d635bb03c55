//! Describes a cluster and starts it.

use std::path::Path;
use std::time::Duration;

use eventually::eventually;
use reqwest::Method;

use super::machines::{Machines, master_name};
use super::master::{Addresses, Setup};
use super::{Cluster, Master, Release};
use crate::certificates::Certificates;
use crate::client::Web;
use crate::effects::Effects;
use crate::history::History;
use crate::ports;
use crate::sweep::Scratch;
use crate::turn::Turn;

/// Number of tries of a start: a port may be taken between its choice and its use.
const TRIES: usize = 3;
/// From the start of the processes to a leader that is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A cluster to be.
#[derive(Debug, Clone)]
pub struct Builder {
    masters: u64,
    workers: usize,
    master_args: Vec<String>,
    worker_args: Vec<String>,
    is_cuttable: bool,
    is_secured: bool,
    release: Release,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            masters: 3,
            workers: 0,
            master_args: Vec::new(),
            worker_args: Vec::new(),
            is_cuttable: false,
            is_secured: false,
            release: Release::default(),
        }
        // Half a minute is right for production and long for a test.
        .master_arg("--reconnect-interval", "1s")
    }
}

/// A port was taken, so the start is tried again.
struct PortTaken;

impl Builder {
    /// So many masters.
    #[must_use]
    pub fn masters(self, masters: u64) -> Self {
        Self { masters, ..self }
    }

    /// So many workers, registered and active from the beginning.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// The programs of a release.
    #[must_use]
    pub fn release(self, release: Release) -> Self {
        Self { release, ..self }
    }

    /// A flag for every master. A later value replaces an earlier one.
    #[must_use]
    pub fn master_arg(mut self, flag: &str, value: &str) -> Self {
        put(&mut self.master_args, flag, value);
        self
    }

    /// A switch for every master: a flag that may have its value in itself.
    #[must_use]
    pub fn master_switch(mut self, flag: &str) -> Self {
        self.master_args.push(flag.to_owned());
        self
    }

    /// A flag for every worker. A later value replaces an earlier one.
    #[must_use]
    pub fn worker_arg(mut self, flag: &str, value: &str) -> Self {
        put(&mut self.worker_args, flag, value);
        self
    }

    /// Workers are missed after a second, and their leases end after two.
    #[must_use]
    pub fn short_lease(self) -> Self {
        self.master_arg("--worker-heartbeat-interval", "200ms")
            .master_arg("--worker-heartbeat-timeout", "1s")
            .master_arg("--worker-lease", "2s")
    }

    /// Lets a firewall tell the processes apart. Only for root.
    #[must_use]
    pub fn cuttable(self) -> Self {
        Self { is_cuttable: true, ..self }
    }

    /// Gives every master and worker a certificate.
    #[must_use]
    pub fn secured(self) -> Self {
        Self { is_secured: true, ..self }
    }

    /// Starts it. All masters are ready and all workers active when this returns.
    pub async fn start(self) -> Cluster {
        let turn = Turn::wait().await;
        let dir = Scratch::new();
        self.start_in(dir, None, turn).await
    }

    /// Starts it with a machine for each master and worker. Only for root.
    ///
    /// # Errors
    ///
    /// With the reason, where this machine cannot hold others.
    pub async fn start_on_machines(self) -> Result<Cluster, String> {
        let turn = Turn::wait().await;
        let dir = Scratch::new();
        let machines = Machines::build(dir.path(), self.masters, self.workers)?;
        Ok(self.start_in(dir, Some(machines), turn).await)
    }

    async fn start_in(self, dir: Scratch, machines: Option<Machines>, turn: Turn) -> Cluster {
        let certificates =
            self.is_secured.then(|| Certificates::init(dir.path().join("certificates"), "test"));
        let parts = (machines.as_ref(), certificates.as_ref());
        let masters = self.start_masters(dir.path(), parts).await;
        let mut cluster = Cluster {
            masters,
            workers: Vec::new(),
            web: web(certificates.as_ref()),
            certificates,
            effects: Effects::new(dir.path()),
            history: History::default(),
            dir,
            worker_args: self.worker_args,
            is_cuttable: self.is_cuttable,
            release: self.release,
            machines,
            _turn: turn,
        };
        for _ in 0..self.workers {
            let name = cluster.register_worker().await;
            cluster.worker_mut(&name).start();
        }
        for name in cluster.worker_names() {
            cluster.client().await_worker(&name, "active", super::CONNECT_PATIENCE).await;
        }
        cluster
    }

    async fn start_masters(&self, dir: &Path, parts: Parts<'_>) -> Vec<Master> {
        for _ in 0..TRIES {
            if let Ok(masters) = self.try_start_masters(dir, parts).await {
                return masters;
            }
            for id in 1..=self.masters {
                // What a half-started master left behind names addresses that change now.
                std::fs::remove_dir_all(dir.join(format!("master-{id}"))).ok();
            }
        }
        panic!("{TRIES} times, a port that was free was taken a moment later");
    }

    async fn try_start_masters(
        &self,
        dir: &Path,
        (machines, certificates): Parts<'_>,
    ) -> Result<Vec<Master>, PortTaken> {
        let members = (1..=self.masters).map(|id| addresses(id, machines)).collect::<Vec<_>>();
        let setup = Setup {
            program: self.release.master(),
            args: &self.master_args,
            machines,
            certificates,
            is_cuttable: self.is_cuttable,
        };
        let start = |id| Master::start(id, dir, &members, &setup);
        let mut masters = (1..=self.masters).map(start).collect::<Vec<_>>();
        let web = web(certificates);
        eventually("every master is ready", START_PATIENCE, async || {
            // The others found nothing without it.
            for master in &mut masters {
                if let Some(status) = master.exit_status() {
                    let log = master.log();
                    assert!(log.contains("in use"), "{} ended: {status}: {log}", master.name());
                    return Ok(Err(PortTaken));
                }
            }
            for master in &masters {
                let request = web.request(Method::GET, master.http(), "/readyz?verbose");
                let response = request.send().await.map_err(|error| format!("{error:#}"))?;
                if !response.status().is_success() {
                    return Err(response.text().await.unwrap_or_default());
                }
            }
            Ok(Ok(()))
        })
        .await?;
        Ok(masters)
    }
}

/// Machines and certificates of a cluster, if it has some.
type Parts<'a> = (Option<&'a Machines>, Option<&'a Certificates>);

pub(super) fn web(certificates: Option<&Certificates>) -> Web {
    certificates.map_or_else(Web::plain, |held| {
        let (certificate, key) = held.issue("admin", "web");
        Web::showing(&held.trusted(), (&certificate, &key))
    })
}

pub(super) fn addresses(id: u64, machines: Option<&Machines>) -> Addresses {
    if let Some(machines) = machines {
        let ip = machines.network().address(&master_name(id));
        return Addresses { grpc: format!("{ip}:50051"), http: format!("{ip}:8080") };
    }
    let [grpc, http] = ports::free().map(|port| format!("127.0.0.1:{port}"));
    Addresses { grpc, http }
}

fn put(args: &mut Vec<String>, flag: &str, value: &str) {
    if let Some(at) = args.iter().position(|arg| arg == flag) {
        args.drain(at..(at + 2).min(args.len()));
    }
    args.extend([flag.to_owned(), value.to_owned()]);
}
