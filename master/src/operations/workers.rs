//! The registry: workers registered, shown, listed, taken off.

use std::sync::Arc;

use cluster_state::{
    Command, LabelWorker, RegisterWorker, Registered, Reply, Resources, SetScheduling, State,
    UnregisterWorker, Worker, WorkerId,
};
use proto::address::{host, is_loopback};
use proto::consistency::Consistency;
use proto::convert::{Breach, Invalid};
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Problem};

use super::tasks::unexpected;
use super::views::{TaskPage, View, WorkerPage, WorkerView};
use super::{Answer, Operations, Reading};
use crate::access::Caller;
use crate::peer::forwarded;
use crate::task_query::TaskQuery;

/// Workers on a page that names no limit: more than clusters have.
const LIMIT_DEFAULT: usize = 100_000;
/// Bytes of an answer about any worker, beside its texts, and about a label or a custom resource
/// beside its own.
const WORKER_BYTES: usize = 1 << 10;
const ENTRY_BYTES: usize = 32;

impl Operations {
    /// Puts a worker on the registry, or changes what the request names of its address and labels.
    pub(crate) async fn register_worker(
        &self,
        command: RegisterWorker,
        by: &Caller,
    ) -> Result<Answer<(WorkerView, Registered)>, Problem> {
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

        let Answer { body: reply, mark } = self.order(Command::RegisterWorker(command), by).await?;
        let Reply::Registered(registered) = reply else { return Err(unexpected(&reply)) };
        Ok(mark.on((self.changed_worker(&id).await?, registered)))
    }

    /// Cordons, uncordons or drains a worker.
    pub(crate) async fn set_scheduling(
        &self,
        command: SetScheduling,
        by: &Caller,
    ) -> Result<Answer<WorkerView>, Problem> {
        let worker = command.worker.clone();
        self.change_worker(&worker, Command::SetScheduling(command), by).await
    }

    /// Sets and removes some of a worker's labels.
    pub(crate) async fn label_worker(
        &self,
        command: LabelWorker,
        by: &Caller,
    ) -> Result<Answer<WorkerView>, Problem> {
        let worker = command.worker.clone();
        self.change_worker(&worker, Command::LabelWorker(command), by).await
    }

    /// Returns a worker's record, which holds its history.
    pub(crate) async fn worker_record(
        &self,
        id: &WorkerId,
        reading: Reading,
    ) -> Result<Answer<Arc<Worker>>, Problem> {
        let mark = self.reach(reading).await?;
        let record = self.node().reader().with(|state| state.worker(id).map(Arc::clone));
        Ok(mark.on(record.ok_or_else(|| no_such_worker(id))?))
    }

    /// Returns one page of the live tasks on a worker, newest first.
    pub(crate) async fn worker_tasks(
        &self,
        id: WorkerId,
        query: TaskQuery,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<View<TaskPage, forwarded::TaskPage>>, Problem> {
        let answer = self.tasks(query.placed_on(id.clone()), reading, by).await?;
        match self.node().reader().with(|state| state.worker(&id).is_some()) {
            true => Ok(answer),
            false => Err(no_such_worker(&id)),
        }
    }

    /// Returns the host of this master, where some master on another machine may call it; none
    /// while all masters are on this machine.
    pub(crate) fn host_for_others(&self) -> Option<String> {
        let own = self.node().member_address(self.node().node_id())?;
        let members = self.node().members().into_iter().map(|member| member.address);
        host_for_others(&own, members)
    }

    async fn change_worker(
        &self,
        id: &WorkerId,
        command: Command,
        by: &Caller,
    ) -> Result<Answer<WorkerView>, Problem> {
        let mark = self.order(command, by).await?.mark;
        Ok(mark.on(self.changed_worker(id).await?))
    }

    async fn changed_worker(&self, id: &WorkerId) -> Result<WorkerView, Problem> {
        self.reach(Reading::default()).await?;
        self.find_worker(id).ok_or_else(|| {
            let detail = format!("worker '{id}' was changed, and removed a moment later");
            Problem::new(ErrorKind::Conflict, detail)
        })
    }

    /// Takes a worker off the registry; what it runs is ended, and queued again when it has ended.
    pub(crate) async fn unregister_worker(
        &self,
        worker: WorkerId,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let command = Command::UnregisterWorker(UnregisterWorker { worker });
        Ok(self.order(command, by).await?.map(drop))
    }

    /// Returns one worker.
    pub(crate) async fn worker(
        &self,
        id: &WorkerId,
        reading: Reading,
    ) -> Result<Answer<View<WorkerView, forwarded::Worker>>, Problem> {
        let mark = self.reach(reading).await?;
        if self.asks_leader(reading) {
            match self.leader_peer().worker(id).await {
                Ok(worker) => return Ok(mark.on(View::Leaders(worker))),
                Err(problem) if problem.kind == ErrorKind::NotFound => return Err(problem),
                Err(problem) => tracing::debug!(%problem, "the leader did not show its worker"),
            }
        }
        let worker = self.find_worker(id).ok_or_else(|| no_such_worker(id))?;
        Ok(mark.on(View::Own(worker)))
    }

    /// Returns workers by name, up to `limit`, however large the answer: of a fleet the whole list
    /// is expected.
    pub(crate) async fn workers(
        &self,
        limit: Option<usize>,
        after: Option<WorkerId>,
        reading: Reading,
    ) -> Result<Answer<WorkerPage>, Problem> {
        let wanted = limit.unwrap_or(LIMIT_DEFAULT);
        let Answer { body: mut whole, mark } =
            self.worker_page(Some(wanted), after, reading).await?;
        while whole.next.is_some() && whole.len() < wanted {
            let left = wanted.saturating_sub(whole.len());
            let reading = reading.consistency.into();
            let page = self.worker_page(Some(left), whole.next.take(), reading).await?.body;
            whole.pieces.extend(page.pieces);
            whole.next = page.next;
        }
        Ok(mark.on(whole))
    }

    /// Returns one page of workers by name: no more of them than one message holds.
    pub(crate) async fn worker_page(
        &self,
        limit: Option<usize>,
        after: Option<WorkerId>,
        reading: Reading,
    ) -> Result<Answer<WorkerPage>, Problem> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_DEFAULT).contains(&limit) {
            let detail = format!("limit {limit} is not between 1 and {LIMIT_DEFAULT}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }

        let mark = self.reach(reading).await?;
        if self.asks_leader(reading) {
            match self.leader_peer().workers(limit, after.as_ref()).await {
                Ok((workers, next)) => {
                    return Ok(mark.on(WorkerPage { pieces: vec![View::Leaders(workers)], next }));
                }
                Err(problem) => tracing::debug!(%problem, "the leader did not list its workers"),
            }
        }
        Ok(mark.on(self.own_worker_page(limit, after.as_ref())))
    }

    /// Heartbeats and calls to workers are known to the leader alone, so a follower asks it; without
    /// an answer the replicated part has to do.
    pub(super) fn asks_leader(&self, reading: Reading) -> bool {
        match reading.consistency {
            Consistency::Linearizable => !self.is_leading(),
            Consistency::Stale => false,
        }
    }

    fn own_worker_page(&self, limit: usize, after: Option<&WorkerId>) -> WorkerPage {
        let mut budget = ByteBudget::new(BATCH_BYTES);
        let (mut workers, mut next) = (Vec::<WorkerView>::new(), None);
        self.node().reader().with(|state| {
            for worker in state.workers_after(after) {
                let view = self.worker_view(state, worker);
                if workers.len() == limit || !budget.admits(size(&view)) {
                    next = workers.last().map(|last| last.worker.id.clone());
                    break;
                }
                workers.push(view);
            }
        });
        WorkerPage { pieces: vec![View::Own(workers)], next }
    }

    fn find_worker(&self, id: &WorkerId) -> Option<WorkerView> {
        self.node().reader().with(|state| Some(self.worker_view(state, state.worker(id)?)))
    }

    fn worker_view(&self, state: &State, worker: &Arc<Worker>) -> WorkerView {
        let load = state.load(&worker.id);
        WorkerView {
            worker: Arc::clone(worker),
            allocated: load.map(|load| load.allocated.clone()).unwrap_or_default(),
            running: load.map_or(0, |load| load.attempts.len()),
            last_heartbeat: self.shared.sessions.last_heartbeat(&worker.id),
            certificate_end: self.shared.sessions.certificate_end(&worker.id),
        }
    }
}

/// Returns a bound of the bytes of a worker in an answer.
fn size(view: &WorkerView) -> usize {
    let worker = &view.worker;
    let rival = worker.rival.as_ref().map_or(0, |rival| rival.address.len());
    let texts = worker.id.as_str().len()
        + worker.address.as_ref().map_or(0, String::len)
        + worker.state_reason().len()
        + rival;
    let reported = worker.specs.iter().flat_map(|specs| &specs.labels);
    let labels = worker.labels.iter().chain(reported);
    let labels = labels.map(|(key, value)| key.len() + value.len() + ENTRY_BYTES).sum::<usize>();
    let custom = |resources: &Resources| {
        resources.custom.keys().map(|name| name.len() + ENTRY_BYTES).sum::<usize>()
    };
    // The available amounts have the names of the total.
    let total = worker.specs.as_ref().map_or(0, |specs| custom(&specs.total));
    WORKER_BYTES + texts + labels + 2 * total + custom(&view.allocated)
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

#[cfg(test)]
mod tests {
    use cluster_state::{
        AddressSource, Epoch, Health, LogIndex, Rival, Scheduling, Specs, Timestamp, WorkerReason,
        WorkerStatus,
    };
    use prost::Message;

    use super::*;

    #[test]
    fn a_worker_takes_no_more_of_an_answer_than_is_reckoned_with() {
        let pair = |number: usize| (format!("{number:0>256}"), "v".repeat(256));
        let custom = (0..32).map(|number| (format!("{number:0>64}").into(), u64::MAX)).collect();
        let numbers = [u64::MAX, u64::MAX, u64::MAX, u64::MAX];
        let [cpu_milli, memory_mib, storage_mib, gpu] = numbers;
        let total = Resources { cpu_milli, memory_mib, storage_mib, gpu, slots: 7, custom };
        let worker = Worker {
            id: "w".repeat(253).parse().unwrap(),
            address: Some("a".repeat(259)),
            address_source: AddressSource::Operator,
            labels: (0..64).map(pair).collect(),
            status: WorkerStatus::Active,
            reason: WorkerReason::Registered,
            health: Health::default(),
            epoch: Epoch(u64::MAX),
            process: None,
            granted: None,
            granted_until: None,
            rival: Some(Rival { address: "b".repeat(259), since: Timestamp(0) }),
            specs: Some(Specs {
                total: total.clone(),
                labels: (64..128).map(pair).collect(),
                version: "v".repeat(64),
            }),
            registered_at: Timestamp(u64::MAX),
            last_heard: None,
            changed_at: Timestamp(u64::MAX),
            scheduling: Scheduling::Draining { deadline: Some(Timestamp(u64::MAX)) },
            history: Vec::new(),
            index: LogIndex(u64::MAX),
        };
        let view = WorkerView {
            worker: Arc::new(worker),
            allocated: total,
            running: usize::MAX,
            last_heartbeat: Some(Timestamp(u64::MAX)),
            certificate_end: Some(Timestamp(u64::MAX)),
        };
        let bound = size(&view);
        let message = crate::wire::own_worker(view);
        assert!(message.encoded_len() <= bound, "{} bytes", message.encoded_len());
    }
}
