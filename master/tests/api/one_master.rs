//! A master on a scratch directory, and a client that speaks just enough HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Command, LogIndex, MasterId, Role, State, Term};
use eventually::{PATIENCE, eventually, require};
use master::config::{AccessConfig, Anonymous, Config};
use master::master::{Master, StartError};
use raft_store::{OpenError, SystemClock, WallClock};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far longer than any answer takes on a machine that has much else to do.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// A cluster of one.
pub(crate) struct OneMaster {
    master: Master,
    pub(crate) dir: TempDir,
}

impl OneMaster {
    /// Starts it and waits until it leads.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(dir: TempDir) -> Self {
        Self::start_as(dir, |_| {}).await
    }

    /// Starts it with another configuration.
    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_as(tempfile::tempdir().unwrap(), configure).await
    }

    /// Starts it by another wall clock than the machine's.
    pub(crate) async fn start_by(wall: Arc<dyn WallClock>) -> Self {
        Self::start_by_and_as(wall, tempfile::tempdir().unwrap(), |_| {}).await
    }

    pub(crate) async fn start_as(dir: TempDir, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_by_and_as(Arc::new(SystemClock), dir, configure).await
    }

    async fn start_by_and_as(
        wall: Arc<dyn WallClock>,
        dir: TempDir,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config(dir.path(), &free_address().await);
        configure(&mut config);
        let started = Self { master: start(config, wall).await, dir };
        let mut leadership = started.master.node().leadership();
        let leads = leadership.wait_for(|leadership| leadership.is_leading());
        drop(tokio::time::timeout(PATIENCE, leads).await.unwrap().unwrap());
        let begun = started.until_its_term_has_begun();
        tokio::time::timeout(PATIENCE, begun).await.unwrap();
        started
    }

    /// A master leads for a moment before the record of it is committed, and the first one before the
    /// level has risen and its settings are recorded.
    async fn until_its_term_has_begun(&self) {
        let reader = self.master.node().reader();
        let mut applied = reader.watch_applied();
        loop {
            applied.borrow_and_update();
            let (newest, has_settings) = reader.with(|state| {
                let newest = state.leaders().next_back().map(|record| record.term);
                (newest, state.settings().is_some())
            });
            let term = self.master.node().leadership().borrow().term();
            if newest == Some(term) && has_settings {
                return;
            }
            applied.changed().await.unwrap();
        }
    }

    /// Stops it, and returns the directory.
    pub(crate) async fn stop(self) -> TempDir {
        self.master.stop().await;
        self.dir
    }

    /// Waits until the replicated state is as wanted, and returns what was asked of it.
    pub(crate) async fn state<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let reader = self.master.node().reader();
        let mut applied = reader.watch_applied();
        let reached = async {
            loop {
                applied.borrow_and_update();
                if let Some(found) = reader.with(&look) {
                    return found;
                }
                applied.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap()
    }

    /// Commits what its leader could have proposed.
    pub(crate) async fn propose(&self, command: impl FnOnce(Term) -> Command) {
        let term = self.master.node().leadership().borrow().term();
        self.master.node().propose_as_leader(term, &command(term)).await.unwrap();
    }

    /// A part of it ends without the others.
    pub(crate) fn fail(&self, why: &str) {
        self.master.node().fatal().raise(why);
    }

    pub(crate) fn applied(&self) -> LogIndex {
        self.master.node().reader().applied().index
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.master.grpc_address()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.master.http_address()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.ask("POST", path, &headers, &body.to_string()).await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: master\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(self.master.http_address()).await.unwrap();
        // A master that has heard enough may answer and close before it has heard all.
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(ANSWER_PATIENCE, read).await.unwrap().unwrap();
        Answer::parse(&String::from_utf8(answer).unwrap())
    }

    /// Returns when a request waits for something to happen.
    pub(crate) async fn until_a_request_waits(&self) {
        self.until_metrics_say("cloudai_waiting_requests 1").await;
    }

    /// Returns when there is such a line among the metrics.
    pub(crate) async fn until_metrics_say(&self, line: &str) {
        let name = line.split([' ', '{']).next().unwrap();
        eventually("the metrics say it", PATIENCE, async || {
            let metrics = self.get("/metrics").await.body;
            let found = metrics.lines().filter(|found| found.starts_with(name));
            let found = found.collect::<Vec<_>>();
            require(found.contains(&line), || format!("{line} is not among {found:?}"))
        })
        .await;
    }

    /// Submits one task and returns its id.
    pub(crate) async fn submit(&self, command: &str) -> String {
        let answer = self.post("/api/tasks", &serde_json::json!({ "command": [command] })).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["task_id"].as_str().unwrap().to_owned()
    }
}

/// The last thread of a master that has just stopped may let go of the directory a moment later.
async fn start(config: Config, wall: Arc<dyn WallClock>) -> Master {
    eventually("the master starts", PATIENCE, async || {
        match Master::start_with_clock(config.clone(), Arc::clone(&wall)).await {
            Err(StartError::Open(OpenError::Locked(path))) => Err(format!("{path:?} is locked")),
            started => Ok(started.unwrap()),
        }
    })
    .await
}

fn config(data_dir: &Path, grpc: &str) -> Config {
    Config {
        node_id: MasterId(1),
        initial_cluster: [(MasterId(1), grpc.to_owned())].into(),
        data_dir: data_dir.to_owned(),
        grpc_listen: grpc.to_owned(),
        grpc_advertise: grpc.to_owned(),
        http_listen: "127.0.0.1:0".to_owned(),
        access: open(),
        ..Config::default()
    }
}

/// Everybody may do everything, as on any master that nobody else reaches.
pub(crate) fn open() -> AccessConfig {
    AccessConfig {
        anonymous: Some(Anonymous(Some(Role::Admin))),
        anonymous_metrics: Some(true),
        ..AccessConfig::default()
    }
}

/// An address that nobody listens on. Members must know each other's addresses before they listen.
pub(crate) async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Answer of the master.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect::<BTreeMap<_, _>>();
        let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let body = if is_chunked { unchunk(body) } else { body.to_owned() };
        Self { status, headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Asserts that it is a problem of that kind, and returns it.
    pub(crate) fn problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:cloudai:error:{name}"));
        assert_eq!(problem["status"], status);
        problem
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        let (chunk, tail) = tail.split_at(size);
        whole.push_str(chunk);
        rest = tail.strip_prefix("\r\n").unwrap();
    }
    whole
}
