//! Debian's HAProxy in front of the masters, with the configuration that we ship.

use std::path::PathBuf;
use std::time::Duration;

use eventually::{eventually, require};

use crate::cluster::Cluster;
use crate::ports;
use crate::process::{Launch, Process, checkout};

/// Time that its checks have to find the masters.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);

/// A load balancer.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    all: String,
    leader: String,
}

/// Returns the path of the program; `None` where it is not installed.
#[must_use]
pub fn program() -> Option<PathBuf> {
    let places = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];
    places.map(PathBuf::from).into_iter().find(|path| path.is_file())
}

impl Proxy {
    /// Starts it in front of a cluster of three; both frontends answer when this returns.
    pub async fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, &[]).await
    }

    /// The same, with other values for what the configuration takes from its environment.
    pub async fn start_with(cluster: &Cluster, settings: &[(&str, &str)]) -> Self {
        let config = checkout().join("deploy/haproxy/haproxy.cfg");
        let [all, leader, status] = ports::free().map(|port| format!("127.0.0.1:{port}"));
        let mut env = vec![
            ("BIND_ALL".to_owned(), all.clone()),
            ("BIND_LEADER".to_owned(), leader.clone()),
            ("BIND_STATUS".to_owned(), status),
        ];
        for master in cluster.masters() {
            env.push((format!("MASTER_{}", master.id()), master.http().to_owned()));
        }
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let launch = Launch {
            name: "haproxy".to_owned(),
            program: program().unwrap(),
            args: ["-db", "-f", config.to_str().unwrap()].map(str::to_owned).to_vec(),
            env,
            group: None,
            namespace: None,
            log: cluster.path("haproxy.log"),
        };
        let proxy = Self { process: Process::start(launch), all, leader };
        proxy.await_checked(cluster).await;
        proxy
    }

    /// Returns the address that leads to any master that is ready.
    #[must_use]
    pub fn all(&self) -> &str {
        &self.all
    }

    /// Returns the address that leads to the leader.
    #[must_use]
    pub fn leader(&self) -> &str {
        &self.leader
    }

    /// Returns its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn await_checked(&self, cluster: &Cluster) {
        for frontend in [&self.all, &self.leader] {
            let mut client = cluster.client_at(vec![frontend.clone()]);
            eventually("the load balancer has found the masters", CHECK_PATIENCE, async || {
                let sent = client.send(reqwest::Method::GET, "/readyz", &[], None).await;
                let status = sent.map_err(|error| format!("{error:#}"))?.status;
                require(status.is_success(), || status.to_string())
            })
            .await;
        }
    }
}
