//! Debian's HAProxy in front of the masters, with the configurations that we ship.

use std::path::PathBuf;
use std::time::Duration;

use eventually::{eventually, require};
use reqwest::Method;

use crate::client::Web;
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
    grpc: String,
    status: String,
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
        let proxy = Self::launch(cluster, "haproxy.cfg", settings);
        proxy.await_checked(&Web::plain()).await;
        proxy
    }

    /// Starts one that passes TLS on to the masters.
    pub async fn start_passthrough(cluster: &Cluster) -> Self {
        let authority = cluster.certificates().unwrap().authority();
        let settings = [("MASTER_CA", authority.to_str().unwrap())];
        let proxy = Self::launch(cluster, "passthrough.cfg", &settings);
        proxy.await_checked(&Web::trusting(&authority)).await;
        proxy
    }

    fn launch(cluster: &Cluster, config: &str, settings: &[(&str, &str)]) -> Self {
        let config = checkout().join("deploy/haproxy").join(config);
        let [all, leader, grpc, status] = ports::free().map(|port| format!("127.0.0.1:{port}"));
        let mut env = vec![
            ("BIND_ALL".to_owned(), all.clone()),
            ("BIND_LEADER".to_owned(), leader.clone()),
            ("BIND_GRPC".to_owned(), grpc.clone()),
            ("BIND_STATUS".to_owned(), status.clone()),
        ];
        for master in cluster.masters() {
            env.push((format!("MASTER_{}", master.id()), master.http().to_owned()));
            env.push((format!("GRPC_{}", master.id()), master.grpc().to_owned()));
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
        Self { process: Process::start(launch), all, leader, grpc, status }
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

    /// Returns the address that leads to the gRPC of any master that is ready, where TLS passes.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Returns its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn await_checked(&self, web: &Web) {
        eventually("the load balancer has checked every master", CHECK_PATIENCE, async || {
            let sent = Web::plain().request(Method::GET, &self.status, "/;csv").send().await;
            let table = sent.map_err(|error| format!("{error:#}"))?.text().await;
            let table = table.map_err(|error| format!("{error:#}"))?;
            require(leaders(&table) == 1, || table.clone())
        })
        .await;
        for frontend in [&self.all, &self.leader] {
            eventually("the load balancer has found the masters", CHECK_PATIENCE, async || {
                let sent = web.request(Method::GET, frontend, "/readyz").send().await;
                let status = sent.map_err(|error| format!("{error:#}"))?.status();
                require(status.is_success(), || status.to_string())
            })
            .await;
        }
    }
}

/// Returns how many masters the backend of the leader takes for one, of a table of HAProxy's state.
///
/// It takes every master for one until it has checked it, and ends their connections when it finds
/// that they are none.
fn leaders(table: &str) -> usize {
    let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let masters = rows.filter(|row| row[0] == "leader" && row[1].starts_with("master-"));
    masters.filter(|row| row.contains(&"UP")).count()
}
