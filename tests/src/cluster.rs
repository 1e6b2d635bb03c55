//! A whole cluster of real processes on this machine.

mod authority;
mod builder;
mod joining;
mod machines;
mod master;
mod members;
mod release;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventually::{eventually, require};
use reqwest::Method;
use serde_json::Value;

use crate::certificates::Certificates;
use crate::client::{Client, Web};
use crate::clusterctl::{self, Outcome};
use crate::effects::Effects;
use crate::history::History;
use crate::leader_watch::LeaderWatch;
use crate::sweep::Scratch;
use crate::turn::Turn;

pub use builder::Builder;
pub use machines::Machines;
pub use master::Master;
pub use release::Release;
pub use worker::Worker;

/// Time for an election with its barrier, on a machine that does other work too.
const ELECTION_PATIENCE: Duration = Duration::from_secs(15);
/// Time for all tasks of one test to end.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);
/// Time for a worker to become active once it can be reached, in these tests.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// Masters and workers, and what they were seen to do.
#[derive(Debug)]
pub struct Cluster {
    masters: Vec<Master>,
    workers: Vec<Worker>,
    web: Web,
    certificates: Option<Certificates>,
    effects: Effects,
    history: History,
    // Before the directory that their disks are mounted in.
    machines: Option<Machines>,
    dir: Scratch,
    worker_args: Vec<String>,
    is_cuttable: bool,
    release: Release,
    _turn: Turn,
}

impl Cluster {
    /// Describes a cluster to start: three masters and no worker unless told otherwise.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The directory of this cluster alone.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The machines that masters and workers run on, if they have some of their own.
    #[must_use]
    pub fn machines(&self) -> Option<&Machines> {
        self.machines.as_ref()
    }

    /// The file in which its tasks leave traces.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Returns the answers that its clients got.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// A session over all masters.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_at(self.http_addresses())
    }

    /// A session with one master.
    #[must_use]
    pub fn client_of(&self, master: u64) -> Client {
        self.client_at(vec![self.master(master).http().to_owned()])
    }

    /// A session with all masters but one.
    #[must_use]
    pub fn client_without(&self, master: u64) -> Client {
        let others = self.masters.iter().filter(|other| other.id() != master);
        self.client_at(others.map(|other| other.http().to_owned()).collect())
    }

    /// A session with these endpoints, whose answers count in this cluster's history.
    #[must_use]
    pub fn client_at(&self, endpoints: Vec<String>) -> Client {
        Client::new(self.web.clone(), endpoints, self.history.clone())
    }

    /// The masters.
    pub fn masters(&self) -> impl Iterator<Item = &Master> {
        self.masters.iter()
    }

    /// One master.
    #[must_use]
    pub fn master(&self, id: u64) -> &Master {
        self.masters.iter().find(|master| master.id() == id).unwrap()
    }

    /// One master, to be broken.
    pub fn master_mut(&mut self, id: u64) -> &mut Master {
        self.masters.iter_mut().find(|master| master.id() == id).unwrap()
    }

    /// The ids of all masters.
    #[must_use]
    pub fn master_ids(&self) -> Vec<u64> {
        self.masters.iter().map(Master::id).collect()
    }

    /// Returns the HTTP addresses of the masters.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<String> {
        self.masters.iter().map(|master| master.http().to_owned()).collect()
    }

    /// Returns the gRPC addresses of the masters.
    #[must_use]
    pub fn grpc_addresses(&self) -> Vec<String> {
        self.masters.iter().map(|master| master.grpc().to_owned()).collect()
    }

    /// Runs `clusterctl` against all masters, as an admin.
    pub async fn clusterctl(&self, args: &[&str]) -> Outcome {
        let connection = self.certificates.as_ref();
        let connection = connection.map(|held| held.connection("admin", "tester"));
        let connection = connection.unwrap_or_default();
        let connection = connection.iter().map(String::as_str);
        let args = connection.chain(args.iter().copied()).collect::<Vec<_>>();
        clusterctl::clusterctl(&self.grpc_addresses(), &args).await
    }

    /// The certificates of its masters and workers, where it has some.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Begins to watch that no two masters lead at once.
    #[must_use]
    pub fn watch_leaders(&self) -> LeaderWatch {
        LeaderWatch::start(&self.http_addresses())
    }

    /// Waits until one master leads.
    pub async fn leader(&self) -> u64 {
        self.leader_among(&self.master_ids()).await
    }

    /// Waits until one of these masters leads.
    pub async fn leader_among(&self, ids: &[u64]) -> u64 {
        eventually(&format!("one of masters {ids:?} leads"), ELECTION_PATIENCE, async || {
            for id in ids {
                if self.probe(*id, "/leader").await == Some(200) {
                    return Ok(*id);
                }
            }
            Err("none does".to_owned())
        })
        .await
    }

    /// The masters but the one given.
    #[must_use]
    pub fn others(&self, id: u64) -> Vec<u64> {
        self.master_ids().into_iter().filter(|other| *other != id).collect()
    }

    /// The status with which a master answers one probe; `None` when it does not answer.
    pub async fn probe(&self, id: u64, path: &str) -> Option<u16> {
        let request = self.web.request(Method::GET, self.master(id).http(), path);
        let sent = request.timeout(Duration::from_secs(1)).send().await;
        sent.ok().map(|response| response.status().as_u16())
    }

    /// Waits until a master is ready for requests.
    pub async fn await_ready(&self, id: u64) {
        eventually(&format!("master {id} is ready"), ELECTION_PATIENCE, async || {
            let status = self.probe(id, "/readyz?verbose").await;
            require(status == Some(200), || format!("{status:?}"))
        })
        .await;
    }

    /// Waits until every master is ready.
    pub async fn await_all_ready(&self) {
        for id in self.master_ids() {
            self.await_ready(id).await;
        }
    }

    /// Waits until each master is a voter, and no other log is a member.
    pub async fn await_voters(&self) {
        self.await_all_ready().await;
        let ids = self.master_ids();
        eventually("each master is a voter", SETTLE_PATIENCE, async || {
            let leader = self.leader().await;
            let status = self.status(leader).await;
            let members = status["members"].as_array().unwrap();
            let is_settled = members.len() == ids.len()
                && members
                    .iter()
                    .all(|member| member["voter"] == true && member["reachable"] == true);
            require(is_settled, || status["members"].to_string())
        })
        .await;
    }

    /// Returns one master's view of the cluster, whatever state it is in.
    pub async fn status(&self, id: u64) -> Value {
        self.client_of(id).get("/api/cluster").await.expect(200).json()
    }

    /// One member as itself sees it.
    pub async fn own_status(&self, id: u64) -> Value {
        let status = self.status(id).await;
        let members = status["members"].as_array().unwrap();
        members.iter().find(|member| member["id"] == id).unwrap().clone()
    }

    /// Waits until every master has applied what the leader has.
    pub async fn await_converged(&self) {
        eventually("every master has applied the same", ELECTION_PATIENCE, async || {
            let mut applied = Vec::new();
            for id in self.master_ids() {
                let member = self.own_status(id).await;
                applied.push((member["applied_index"].clone(), member["last_log_index"].clone()));
            }
            let is_same = applied.iter().all(|position| Some(position) == applied.first())
                && applied.iter().all(|(applied, last)| applied == last);
            require(is_same, || format!("{applied:?}"))
        })
        .await;
    }

    /// A worker by its name.
    #[must_use]
    pub fn worker(&self, name: &str) -> &Worker {
        self.workers.iter().find(|worker| worker.name() == name).unwrap()
    }

    /// A worker by its name, to be broken.
    pub fn worker_mut(&mut self, name: &str) -> &mut Worker {
        self.workers.iter_mut().find(|worker| worker.name() == name).unwrap()
    }

    /// The names of all workers.
    #[must_use]
    pub fn worker_names(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.name().to_owned()).collect()
    }

    /// Registers a worker that is not started yet. Returns its name.
    pub async fn register_worker(&mut self) -> String {
        let name = self.new_worker();
        let address = self.worker(&name).address().to_owned();
        let answer = self.client().register_worker(&name, &address).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
        name
    }

    /// A worker that nobody has registered and that is not started yet. Returns its name.
    pub fn new_worker(&mut self) -> String {
        let number = self.workers.len() + 1;
        let dir = self.dir.path();
        let host = self.machines.as_ref().map(|machines| {
            let name = machines::worker_name(number);
            (machines.network().address(&name), machines.place(&name))
        });
        let certificates = self.certificates.as_ref();
        let mut worker = Worker::new(number, dir, host, certificates, &self.worker_args);
        worker.set_cuttable(self.is_cuttable);
        worker.set_program(self.release.worker());
        let name = worker.name().to_owned();
        self.workers.push(worker);
        name
    }

    /// The names of the workers that were started.
    #[must_use]
    pub fn started_workers(&self) -> Vec<String> {
        let started = self.workers.iter().filter(|worker| worker.is_started());
        started.map(|worker| worker.name().to_owned()).collect()
    }

    /// A worker that is never started: a host and a data directory for whoever needs one.
    pub fn spare_worker(&mut self) -> String {
        let spare = self.workers.iter().find(|worker| !worker.is_started());
        match spare.map(|worker| worker.name().to_owned()) {
            Some(name) => name,
            None => self.new_worker(),
        }
    }

    /// Registers a worker and starts it; it is active when this returns.
    pub async fn add_worker(&mut self) -> String {
        let name = self.register_worker().await;
        self.worker_mut(&name).start();
        self.client().await_worker(&name, "active", CONNECT_PATIENCE).await;
        name
    }

    /// Waits until every acknowledged task has ended, then panics if any promise was broken.
    pub async fn check_history(&self) {
        let tasks = self.settle().await;
        let violations = self.history.violations(&tasks, &self.effects);
        assert!(violations.is_empty(), "broken promises:\n{}", violations.join("\n"));
        let accepted = self.history.accepted();
        let count = tasks.len();
        eprintln!("history: {accepted} submissions acknowledged, {count} tasks, all promises kept");
    }

    /// Waits until every acknowledged task has ended. Returns all tasks.
    async fn settle(&self) -> Vec<Value> {
        let mut client = self.client();
        eventually("every acknowledged task has ended", SETTLE_PATIENCE, async || {
            let tasks = client.tasks().await;
            let unfinished = self.history.unfinished(&tasks);
            let sample = unfinished.iter().take(5).collect::<Vec<_>>();
            require(unfinished.is_empty(), || format!("{} not, as {sample:?}", unfinished.len()))?;
            Ok(tasks)
        })
        .await
    }

    /// Panics unless every master shows the same tasks and workers from its own state.
    pub async fn check_replicas_agree(&self) {
        self.await_converged().await;
        let mut views = Vec::new();
        for id in self.master_ids() {
            views.push((id, self.local_view(id).await));
        }
        let (first, expected) = views.first().unwrap();
        for (id, view) in &views {
            assert!(view == expected, "masters {first} and {id} differ:\n{expected}\n{view}");
        }
    }

    async fn local_view(&self, id: u64) -> Value {
        let mut client = self.client_of(id);
        let tasks = client.get("/api/tasks?limit=1000&consistency=stale").await.expect(200);
        let workers = client.get("/api/workers?consistency=stale").await.expect(200);
        let mut view = [tasks.json()["tasks"].take(), workers.json()["workers"].take()];
        let records = view.iter_mut().filter_map(Value::as_array_mut).flatten();
        for record in records.filter_map(Value::as_object_mut) {
            // What the leader alone knows is no part of the state.
            record.remove("last_heartbeat");
            record.remove("pending_reason");
        }
        Value::from(view.to_vec())
    }

    /// Returns a path for a file of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Before their directory goes, and before what they leave behind is looked for.
        self.workers.clear();
        self.masters.clear();
        if std::thread::panicking() && std::env::var_os("CLOUDAI_TEST_KEEP").is_some() {
            self.dir.keep();
            eprintln!("kept {}", self.dir.path().display());
        }
    }
}
