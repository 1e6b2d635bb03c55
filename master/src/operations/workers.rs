//! The registry: workers registered, shown, listed, taken off.

use cluster_state::{
    Command, LabelWorker, RegisterWorker, Registered, Reply, SetScheduling, UnregisterWorker,
    Worker, WorkerId,
};
use prost::Message;
use proto::address::{host, is_loopback};
use proto::consistency::Consistency;
use proto::convert::{self, Breach, Invalid};
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Problem};
use proto::v1;

use super::tasks::unexpected;
use super::{Answer, Operations, Reading, TaskQuery};

/// Workers on a page that names no limit: more than clusters have.
const LIMIT_DEFAULT: usize = 100_000;

impl Operations {
    /// Puts a worker on the registry, or changes what the request names of its address and labels.
    pub(crate) async fn register_worker(
        &self,
        request: v1::RegisterRequest,
    ) -> Result<Answer<(v1::Worker, Registered)>, Problem> {
        let command = RegisterWorker::try_from(request)?;
        let id = command.worker.clone();
        let is_known = || self.node().reader().with(|state| state.worker(&id).is_some());
        if command.address.is_none() && !is_known() {
            return Err(Invalid::malformed("/address", &Breach::Required).into());
        }

        if let Some(address) = command.address.as_ref().filter(|at| is_loopback(at))
            && self.host_for_others().is_some()
        {
            let breach = Breach::Loopback { address: address.clone() };
            return Err(Invalid::malformed("/address", &breach).into());
        }

        let Answer { body: reply, mark } = self.propose(&Command::RegisterWorker(command)).await?;
        let Reply::Registered(registered) = reply else { return Err(unexpected(&reply)) };
        Ok(mark.on((self.changed_worker(&id).await?, registered)))
    }

    /// Cordons, uncordons or drains a worker.
    pub(crate) async fn set_scheduling(
        &self,
        request: &v1::SetSchedulingRequest,
    ) -> Result<Answer<v1::Worker>, Problem> {
        worker_id(&request.worker_id)?;
        let (worker, order) = convert::scheduling_order(request)?;
        let command = Command::SetScheduling(SetScheduling { worker: worker.clone(), order });
        self.change_worker(&worker, &command).await
    }

    /// Sets and removes some of a worker's labels.
    pub(crate) async fn label_worker(
        &self,
        request: v1::LabelWorkerRequest,
    ) -> Result<Answer<v1::Worker>, Problem> {
        let worker = worker_id(&request.worker_id)?;
        let (set, remove) = convert::label_changes(request)?;
        let command = Command::LabelWorker(LabelWorker { worker: worker.clone(), set, remove });
        self.change_worker(&worker, &command).await
    }

    /// Returns the history of a worker.
    pub(crate) async fn worker_history(
        &self,
        id: &str,
        reading: Reading,
    ) -> Result<Answer<v1::WorkerHistory>, Problem> {
        let id = worker_id(id)?;
        let mark = self.reach(reading).await?;
        let history = self
            .node()
            .reader()
            .with(|state| state.worker(&id).map(|worker| convert::worker_history(worker)));
        Ok(mark.on(history.ok_or_else(|| no_such_worker(&id))?))
    }

    /// Returns one page of the live tasks on a worker, newest first.
    pub(crate) async fn worker_tasks(
        &self,
        id: &str,
        query: TaskQuery,
        reading: Reading,
    ) -> Result<Answer<v1::TaskPage>, Problem> {
        let id = worker_id(id)?;
        let answer = self.tasks(query.placed_on(id.clone()), reading).await?;
        match self.node().reader().with(|state| state.worker(&id).is_some()) {
            true => Ok(answer),
            false => Err(no_such_worker(&id)),
        }
    }

    /// Returns the host of this master, where some master on another machine may call it; none
    /// while all masters are on this machine.
    pub(crate) fn host_for_others(&self) -> Option<String> {
        let own = self.node().member_address(self.node().id())?;
        let members = self.node().members().into_iter().map(|member| member.address);
        host_for_others(&own, members)
    }

    async fn change_worker(
        &self,
        id: &WorkerId,
        command: &Command,
    ) -> Result<Answer<v1::Worker>, Problem> {
        let mark = self.propose(command).await?.mark;
        Ok(mark.on(self.changed_worker(id).await?))
    }

    async fn changed_worker(&self, id: &WorkerId) -> Result<v1::Worker, Problem> {
        self.reach(Reading::default()).await?;
        self.find_worker(id).ok_or_else(|| {
            let detail = format!("worker '{id}' was changed, and removed a moment later");
            Problem::new(ErrorKind::Conflict, detail)
        })
    }

    /// Takes a worker off the registry; what it runs is ended, and queued again when it has ended.
    pub(crate) async fn unregister_worker(&self, id: &str) -> Result<Answer<()>, Problem> {
        let worker = worker_id(id)?;
        let command = Command::UnregisterWorker(UnregisterWorker { worker });
        Ok(self.propose(&command).await?.map(drop))
    }

    /// Returns one worker.
    pub(crate) async fn worker(
        &self,
        id: &str,
        reading: Reading,
    ) -> Result<Answer<v1::Worker>, Problem> {
        let id = worker_id(id)?;
        let mark = self.reach(reading).await?;
        if self.asks_leader(reading) {
            let request = v1::GetWorkerRequest {
                worker_id: id.to_string(),
                consistency: Consistency::Linearizable.into(),
            };
            match self.leader_peer().worker(request).await {
                Ok(worker) => return Ok(mark.on(worker)),
                Err(problem) if problem.kind == ErrorKind::NotFound => return Err(problem),
                Err(problem) => tracing::debug!(%problem, "the leader did not show its worker"),
            }
        }
        let worker = self.find_worker(&id).ok_or_else(|| no_such_worker(&id))?;
        Ok(mark.on(worker))
    }

    /// Workers by name, up to `limit`, however large the answer: of a fleet the whole list is
    /// expected.
    pub(crate) async fn workers(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
        reading: Reading,
    ) -> Result<Answer<v1::WorkerPage>, Problem> {
        let wanted = limit.unwrap_or(LIMIT_DEFAULT);
        let Answer { body: mut whole, mark } =
            self.worker_page(Some(wanted), cursor, reading).await?;
        while let Some(cursor) = whole.next_cursor.take() {
            let left = wanted.saturating_sub(whole.workers.len());
            if left == 0 {
                whole.next_cursor = Some(cursor);
                break;
            }
            let reading = reading.consistency.into();
            let page = self.worker_page(Some(left), Some(&cursor), reading).await?.body;
            whole.workers.extend(page.workers);
            whole.next_cursor = page.next_cursor;
        }
        Ok(mark.on(whole))
    }

    /// Returns one page of workers by name: no more of them than one message holds.
    pub(crate) async fn worker_page(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
        reading: Reading,
    ) -> Result<Answer<v1::WorkerPage>, Problem> {
        let after = cursor.map(|cursor| cursor.parse::<WorkerId>()).transpose();
        let after = after.map_err(|_| {
            Problem::new(ErrorKind::Malformed, "cursor is not one that a page ended with")
        })?;
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_DEFAULT).contains(&limit) {
            let detail = format!("limit {limit} is not between 1 and {LIMIT_DEFAULT}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }

        let mark = self.reach(reading).await?;
        if self.asks_leader(reading) {
            let request = v1::ListWorkersRequest {
                consistency: Consistency::Linearizable.into(),
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
                cursor: cursor.map(str::to_owned),
            };
            match self.leader_peer().workers(request).await {
                Ok(page) => return Ok(mark.on(page)),
                Err(problem) => tracing::debug!(%problem, "the leader did not list its workers"),
            }
        }
        Ok(mark.on(self.own_worker_page(limit, after.as_ref())))
    }

    /// Heartbeats and calls to workers are known to the leader alone, so a follower asks it; without
    /// an answer the replicated part has to do.
    pub(super) fn asks_leader(&self, reading: Reading) -> bool {
        match reading.consistency {
            Consistency::Linearizable => !self.leadership().is_leading(),
            Consistency::Stale => false,
        }
    }

    fn own_worker_page(&self, limit: usize, after: Option<&WorkerId>) -> v1::WorkerPage {
        let mut budget = ByteBudget::new(BATCH_BYTES);
        self.node().reader().with(|state| {
            let mut page = v1::WorkerPage::default();
            for worker in state.workers_after(after) {
                let load = state.load(&worker.id);
                let last_heartbeat = self.shared.sessions.last_heartbeat(&worker.id);
                let shown = convert::worker(worker, load, last_heartbeat);
                if page.workers.len() == limit || !budget.admits(shown.encoded_len()) {
                    page.next_cursor = page.workers.last().map(|last| last.worker_id.clone());
                    break;
                }
                page.workers.push(shown);
            }
            page
        })
    }

    fn find_worker(&self, id: &WorkerId) -> Option<v1::Worker> {
        let last_heartbeat = self.shared.sessions.last_heartbeat(id);
        self.node().reader().with(|state| {
            let worker: &Worker = state.worker(id)?;
            Some(convert::worker(worker, state.load(id), last_heartbeat))
        })
    }
}

/// Returns a host as written in addresses, where one of the members may be on another machine.
pub(crate) fn host_for_others(
    own: &str,
    mut members: impl Iterator<Item = String>,
) -> Option<String> {
    let here = host(own);
    let is_elsewhere = |member: &String| !is_loopback(member) && host(member) != here;
    members
        .any(|member| is_elsewhere(&member))
        .then(|| own.rsplit_once(':').map(|(host, _)| host.to_owned()))
        .flatten()
}

pub(super) fn no_such_worker(id: &WorkerId) -> Problem {
    Problem::new(ErrorKind::NotFound, format!("worker '{id}' is not registered"))
}

/// Parses a worker's id in a client's text; one that cannot be an id names no worker.
pub(super) fn worker_id(text: &str) -> Result<WorkerId, Problem> {
    text.parse().map_err(|error: cluster_state::InvalidId| {
        Problem::new(ErrorKind::NotFound, error.to_string())
    })
}
