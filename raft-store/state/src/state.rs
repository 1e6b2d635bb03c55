//! The replicated state in memory, and the only methods that write it.

mod admission;
mod certificates;
mod graph;
mod jobs;
mod orphans;
mod queues;
mod schedules;
mod trail;
mod users;
mod waiting;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use self::certificates::Holders;
use self::jobs::Jobs;
use self::orphans::Orphans;
use self::schedules::Schedules;
use self::trail::Trail;
use crate::capacity::{CapacityIndex, Taken};
use crate::dependencies::DependencyIndex;
use crate::growth::Growth;
use crate::index::{Index, TaskCounts, WorkerLoad};
use crate::{
    Change, Departed, IdempotencyRecord, IssuerRecord, JoinToken, Key, LeaderRecord, Limits,
    LogIndex, MassLoss, Meta, Queue, QueueName, Record, Rejection, Reply, SettingsRecord, Task,
    TaskEnd, TaskId, Timestamp, TokenId, UserToken, Worker, WorkerId,
};

/// The replicated state. It holds no terminal tasks, which live on disk.
#[derive(Debug, Default)]
pub struct State {
    meta: Meta,
    leaders: VecDeque<LeaderRecord>,
    workers: BTreeMap<WorkerId, Arc<Worker>>,
    /// Connected workers, in the order in which their records changed.
    active: BTreeSet<(LogIndex, WorkerId)>,
    /// Workers that are not connected, in the same order.
    inactive: BTreeSet<(LogIndex, WorkerId)>,
    /// Connected workers that cannot be called or cannot start programs.
    ailing: BTreeSet<WorkerId>,
    /// Timers of workers: ends of drains and phases of suspensions.
    worker_timers: BTreeSet<(Timestamp, WorkerId)>,
    departed: BTreeMap<WorkerId, Departed>,
    tokens: BTreeMap<TokenId, JoinToken>,
    mass_loss: Option<MassLoss>,
    settings: Option<Arc<SettingsRecord>>,
    user_tokens: BTreeMap<TokenId, UserToken>,
    orphans: Orphans,
    trail: Trail,
    issuer: Option<IssuerRecord>,
    holders: Holders,
    jobs: Jobs,
    schedules: Schedules,
    queues: BTreeMap<QueueName, Arc<Queue>>,
    tasks: BTreeMap<TaskId, Arc<Task>>,
    keys: BTreeMap<Arc<str>, IdempotencyRecord>,
    /// Idempotency keys by age, oldest first.
    keys_by_age: BTreeSet<(Timestamp, Arc<str>)>,
    key_bytes: u64,
    index: Index,
    dependencies: DependencyIndex,
    /// Tasks that have ended without success, and whose dependents are not all aborted yet.
    cascades: BTreeMap<TaskId, TaskEnd>,
    capacity: CapacityIndex,
    growth: Growth,
    /// Workers whose loads changed since their free capacity was updated.
    changed_loads: BTreeSet<WorkerId>,
}

/// Effects of one applied command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Reply to the proposer. A rejection comes with no change but log time.
    pub reply: Result<Reply, Rejection>,
    /// Changes of records, in the order in which they were written.
    pub changes: Vec<Change>,
}

impl State {
    /// Creates the empty state that a cluster starts from.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a change that another state recorded.
    pub fn follow(&mut self, change: Change) {
        match change {
            Change::Put(record) => self.restore(record),
            Change::Delete(key) => self.delete(&key),
        }
    }

    /// Puts a stored record back. Restoring all stored records rebuilds the state.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Meta(meta) => self.put_meta(meta),
            Record::Leader(record) => self.put_leader(record),
            Record::Worker(worker) => self.put_worker(worker),
            Record::Task(task) => self.restore_tasks([task]),
            Record::IdempotencyKey(record) => self.put_key(record),
            Record::Departed(departed) => self.put_departed(departed),
            Record::Token(token) => self.put_token(token),
            Record::MassLoss(mass_loss) => self.put_mass_loss(Some(mass_loss)),
            Record::Settings(settings) => self.put_settings(settings),
            Record::UserToken(token) => self.put_user_token(token),
            Record::Orphan(orphan) => self.put_orphan(orphan),
            Record::Audit(record) => self.put_audit_record(record),
            Record::Issuer(issuer) => self.put_issuer(issuer),
            Record::Holder(holder) => self.put_holder(holder),
            Record::Job(job) => self.put_job(job),
            Record::Schedule(schedule) => self.put_schedule(schedule),
            Record::Queue(queue) => {
                let index = queue.index;
                self.put_queue(queue);
                self.update_derived(index);
            }
            Record::Cascade(cascade) => self.put_cascade(cascade),
        }
    }

    /// Puts stored tasks back, in less time than one by one.
    pub fn restore_tasks(&mut self, tasks: impl IntoIterator<Item = Arc<Task>>) {
        let mut last = LogIndex(0);
        for mut task in tasks {
            last = last.max(task.index);
            self.intern(&mut task);
            self.put_task(&task);
        }
        self.update_derived(last);
    }

    fn delete(&mut self, key: &Key) {
        match key {
            Key::Worker(id) => self.remove_worker(id),
            Key::IdempotencyKey(key) => self.remove_key(key),
            Key::Departed(id) => self.remove_departed(id),
            Key::Token(id) => self.remove_token(id),
            Key::MassLoss => self.put_mass_loss(None),
            Key::UserToken(id) => self.remove_user_token(id),
            Key::Orphan(id) => self.remove_orphan(*id),
            Key::Audit(index) => self.remove_audit_record(*index),
            Key::Holder(id) => self.remove_holder(id),
            Key::Job(id) => self.remove_job(*id),
            Key::Schedule(name) => self.remove_schedule(name),
            Key::Queue(name) => self.remove_queue(name),
            Key::Cascade(task) => self.remove_cascade(*task),
            // Finished tasks are on disk only, and the others are never deleted.
            Key::Task(_) | Key::Meta | Key::Leader(_) | Key::Settings | Key::Issuer => {}
        }
    }

    /// Returns every live record: restoring them all rebuilds the state.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        std::iter::once(Record::Meta(self.meta))
            .chain(self.leaders.iter().cloned().map(Record::Leader))
            .chain(self.workers.values().cloned().map(Record::Worker))
            .chain(self.tasks.values().cloned().map(Record::Task))
            .chain(self.keys.values().cloned().map(Record::IdempotencyKey))
            .chain(self.departed.values().cloned().map(Record::Departed))
            .chain(self.tokens.values().cloned().map(Record::Token))
            .chain(self.mass_loss.map(Record::MassLoss))
            .chain(self.settings.iter().cloned().map(Record::Settings))
            .chain(self.user_tokens.values().cloned().map(Record::UserToken))
            .chain(self.orphans().cloned().map(Record::Orphan))
            .chain(self.trail().cloned().map(Record::Audit))
            .chain(self.issuer.iter().cloned().map(Record::Issuer))
            .chain(self.holders().cloned().map(Record::Holder))
            .chain(self.jobs().cloned().map(Record::Job))
            .chain(self.schedules().cloned().map(Record::Schedule))
            .chain(self.queues().cloned().map(Record::Queue))
            .chain(self.cascades().map(Record::Cascade))
    }

    /// Returns counters, log time, the newest term and the level.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns the latest terms of leadership, oldest first.
    pub fn leaders(&self) -> impl DoubleEndedIterator<Item = &LeaderRecord> {
        self.leaders.iter()
    }

    /// Returns a live task.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(&id)
    }

    /// Returns the live tasks with ids below `cursor`, oldest first.
    pub fn tasks_below(
        &self,
        cursor: Option<TaskId>,
    ) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        let to = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.tasks.range((Bound::Unbounded, to)).map(|(_, task)| task)
    }

    /// Returns the number of live tasks.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the memory of live tasks and idempotency keys, by the account of [`Task::bytes`].
    #[must_use]
    pub const fn live_bytes(&self) -> u64 {
        self.index.bytes() + self.key_bytes
    }

    /// Returns the numbers of live tasks by state.
    #[must_use]
    pub const fn task_counts(&self) -> &TaskCounts {
        self.index.task_counts()
    }

    /// Returns the load of a worker; `None` if it is idle.
    #[must_use]
    pub fn load(&self, id: &WorkerId) -> Option<&WorkerLoad> {
        self.index.load(id)
    }

    fn taken_on(&self, id: &WorkerId) -> Taken<'_> {
        self.load(id).map(WorkerLoad::taken).unwrap_or_default()
    }

    /// Returns the loads of the workers that have attempts.
    pub fn loads(&self) -> impl Iterator<Item = (&WorkerId, &WorkerLoad)> {
        self.index.loads()
    }

    /// Returns the workers for which there are orders: to run an attempt or to stop one.
    pub fn workers_to_tell(&self) -> impl Iterator<Item = &WorkerId> {
        self.index.workers_to_tell()
    }

    /// Returns the time at which the next timer fires: one of a task, the deadline of a drain, the next
    /// phase of a suspension, or the end of an idempotency key. It is the present while ends of tasks are
    /// still to be passed on to those that wait for them.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        let key = self.oldest_key().map(|(at, _)| at.after(self.limits().idempotency_retention));
        let worker = self.worker_timers.first().map(|(at, _)| *at);
        let timers = [self.index.next_timer(), worker, key, self.time_to_pass_on()];
        timers.into_iter().flatten().min()
    }

    /// Returns the submission that an idempotency key stands for.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<&IdempotencyRecord> {
        self.keys.get(key)
    }

    /// Returns the number of idempotency keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Returns the bounds of the cluster's level.
    pub(crate) const fn limits(&self) -> &'static Limits {
        Limits::at(self.meta.level)
    }

    pub(crate) fn oldest_key(&self) -> Option<&(Timestamp, Arc<str>)> {
        self.keys_by_age.first()
    }

    pub(crate) fn due_workers(&self, now: Timestamp) -> Vec<WorkerId> {
        let due = self.worker_timers.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, worker)| worker.clone()).collect()
    }

    /// Returns whether the index of free capacity equals one built afresh from workers and loads.
    pub(crate) fn capacity_is_in_step(&self) -> bool {
        let mut fresh = CapacityIndex::default();
        for worker in self.workers() {
            fresh.put(worker, self.taken_on(&worker.id));
        }
        fresh == self.capacity
    }

    pub(crate) fn keys_are_in_step(&self) -> bool {
        self.keys.len() == self.keys_by_age.len()
            && self.key_bytes == self.keys.keys().map(|key| key_bytes(key)).sum::<u64>()
            && self
                .keys
                .values()
                .all(|record| self.keys_by_age.contains(&(record.at, Arc::clone(&record.key))))
    }

    pub(crate) fn due_tasks(&self, now: Timestamp, most: usize) -> Vec<TaskId> {
        self.index.due_tasks(now, most)
    }

    pub(crate) const fn tasks(&self) -> &BTreeMap<TaskId, Arc<Task>> {
        &self.tasks
    }

    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    /// Makes a task share its class with equal ones: a million queued tasks of ten classes hold ten
    /// classes.
    pub(crate) fn intern(&self, task: &mut Arc<Task>) {
        // A task that is shared already was interned before.
        let spec = Arc::get_mut(task).and_then(|task| Arc::get_mut(&mut task.spec));
        if let Some(spec) = spec
            && let Some(shared) = self.index.class(&spec.class)
        {
            spec.class = shared;
        }
    }

    pub(crate) const fn put_meta(&mut self, meta: Meta) {
        self.meta = meta;
    }

    pub(crate) fn put_leader(&mut self, record: LeaderRecord) {
        self.leaders.push_back(record);
        while self.leaders.len() > self.limits().leaders_kept_max {
            self.leaders.pop_front();
        }
    }

    /// Writes a task. A terminal task leaves memory, and only its record on disk remains. The
    /// caller must call [`Self::update_derived`] afterwards.
    pub(crate) fn put_task(&mut self, task: &Arc<Task>) {
        let (before, after) = if task.state.is_terminal() {
            (self.tasks.remove(&task.id), None)
        } else {
            (self.tasks.insert(task.id, Arc::clone(task)), Some(&**task))
        };
        self.index.replace(before.as_deref(), after);
        self.dependencies.replace(&self.tasks, before.as_deref(), after);

        for attempt in
            [before.as_deref(), after].into_iter().flatten().filter_map(Task::live_attempt)
        {
            if !self.changed_loads.contains(&attempt.worker) {
                self.changed_loads.insert(attempt.worker.clone());
            }
        }
    }

    /// Updates the backlog and the free capacity for all that one command changed, once and not
    /// with each of a thousand tasks. `index` is the command's.
    pub(crate) fn update_derived(&mut self, index: LogIndex) {
        let (opened, emptied) = self.index.update_backlog(&self.tasks, index);
        opened.into_iter().for_each(|queue| self.growth.on_opened(queue, index));
        emptied.iter().for_each(|queue| self.growth.forget_queue(queue));
        while let Some(id) = self.changed_loads.pop_first() {
            let Some(worker) = self.workers.get(&id) else { continue };
            let taken = self.index.load(&id).map(WorkerLoad::taken).unwrap_or_default();
            if self.capacity.put(worker, taken) {
                self.growth.on_grown(&id, index);
            }
        }
    }

    pub(crate) fn put_key(&mut self, record: IdempotencyRecord) {
        self.remove_key(&record.key);
        self.keys_by_age.insert((record.at, Arc::clone(&record.key)));
        self.key_bytes += key_bytes(&record.key);
        self.keys.insert(Arc::clone(&record.key), record);
    }

    pub(crate) fn remove_key(&mut self, key: &str) {
        if let Some(record) = self.keys.remove(key) {
            self.key_bytes -= key_bytes(key);
            self.keys_by_age.remove(&(record.at, record.key));
        }
    }
}

const fn key_bytes(key: &str) -> u64 {
    key.len() as u64 + Limits::KEY_BYTES
}
