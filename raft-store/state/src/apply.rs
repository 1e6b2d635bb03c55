//! Applies commands: checks first, then writes, with the same result on every master.

mod attempt;
mod certificate;
mod cluster;
mod connection;
mod dependency;
mod health;
mod job;
mod order;
mod orphan;
mod placement;
mod queue;
mod retry;
mod rotation;
mod schedule;
mod settings;
mod task;
mod timer;
mod trail;
mod user;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::order::Order;
use crate::{
    Actor, Applied, AuditRecord, Change, Command, Departed, IdempotencyRecord, JoinToken, Key,
    LeaderRecord, Limits, LogIndex, MassLoss, Meta, Ordered, Orphan, OrphanId, Proposal, Record,
    Rejection, Reply, State, Task, TaskGraph, TaskId, Term, Timestamp, TokenId, Worker, WorkerId,
};

impl State {
    /// Applies the proposal at `index` of the log.
    ///
    /// A rejection changes nothing but log time, and the trail if somebody has given the order.
    pub fn apply(&mut self, index: LogIndex, proposal: Proposal) -> Applied {
        let before = *self.meta();
        let now = before.now.max(proposal.proposed_at);
        let (by, command) = if let Command::Ordered(Ordered { by, command }) = proposal.command {
            (Some(by), *command)
        } else {
            (None, proposal.command)
        };
        let order = self.describe(by, &command);
        let is_tick = matches!(command, Command::Tick(_));
        let is_behind = self.has_ends_to_pass_on();
        let mut apply = Apply {
            state: self,
            index,
            now,
            meta: Meta { now, ..before },
            changes: Vec::new(),
            cascades: BTreeSet::new(),
            edges: 0,
        };

        let (order, reply) = match order {
            Ok(order) => (order, perform(&mut apply, command)),
            Err(rejection) => (None, Err(rejection)),
        };

        // The rest is for ticks, which nobody waits for; they do it themselves.
        if reply.is_ok() && !is_tick && !is_behind {
            apply.pass_on_ends();
        }
        apply.record_cascades();

        assert!(reply.is_ok() || apply.changes.is_empty(), "a rejection changes nothing");
        assert!(apply.meta.term >= before.term, "the term never falls");
        assert!(apply.meta.level >= before.level, "the level never falls");
        assert!(apply.meta.next_task >= before.next_task, "no task id is given twice");
        // The proposer reads again and repeats the order: the trail has its last outcome.
        if let Some((by, order)) = order
            && !matches!(
                reply,
                Err(Rejection::RetriedMeanwhile
                    | Rejection::NotAhead { .. }
                    | Rejection::DependencyEnded { .. })
            )
        {
            apply.record(by, order, &reply);
        }
        let Apply { meta, mut changes, .. } = apply;
        self.update_derived(index);
        if meta != before {
            self.put_meta(meta);
            changes.push(Change::Put(Record::Meta(meta)));
        }
        Applied { reply, changes }
    }

    /// Describes a command for the trail, if somebody has ordered it.
    fn describe(
        &self,
        by: Option<Actor>,
        command: &Command,
    ) -> Result<Option<(Actor, Order)>, Rejection> {
        let Some(by) = by else { return Ok(None) };
        let (needed, level) = (AuditRecord::LEVEL, self.meta().level);
        if level < needed {
            return Err(Rejection::BelowLevel { needed, level });
        }
        let order = Order::of(command, self).ok_or_else(|| Rejection::invalid("not an order"))?;
        Ok(Some((by, order)))
    }
}

/// Applies a command itself, whoever has ordered it.
fn perform(apply: &mut Apply<'_>, command: Command) -> Result<Reply, Rejection> {
    let level = apply.meta.level;
    match command {
        command if level < command.min_level() => {
            Err(Rejection::BelowLevel { needed: command.min_level(), level })
        }
        Command::BeginTerm(command) => apply.begin_term(&command),
        Command::RegisterWorker(command) => apply.register_worker(command),
        Command::UnregisterWorker(command) => apply.unregister_worker(&command.worker),
        Command::ConnectWorker(command) => apply.connect_worker(command),
        Command::DisconnectWorkers(command) => apply.disconnect_workers(&command),
        Command::SubmitTasks(command) => apply.submit_tasks(command, &TaskGraph::default()),
        Command::SubmitGraph(command) => {
            let (submission, graph) = command.into_parts();
            apply.submit_tasks(submission, &graph)
        }
        Command::AssignTasks(command) => apply.assign_tasks(&command),
        Command::AssignAhead(command) => apply.assign_ahead(&command),
        Command::HoldAttempts(command) => apply.hold_attempts(&command),
        Command::StartAttempts(command) => apply.start_attempts(&command),
        Command::FinishAttempts(command) => apply.finish_attempts(command),
        Command::CancelTask(command) => apply.cancel_task(command.task),
        Command::RetryTask(command) => apply.retry_task(command),
        Command::StartJob(command) => apply.start_job(command),
        Command::AdvanceJob(command) => apply.advance_job(command),
        Command::RequeueAttempts(command) => apply.requeue_attempts(&command),
        Command::Tick(command) => apply.tick(&command),
        Command::SetScheduling(command) => apply.set_scheduling(&command),
        Command::LabelWorker(command) => apply.label_worker(command),
        Command::ForgetDeparted(command) => apply.forget_departed(&command),
        Command::CreateToken(command) => apply.create_token(command),
        Command::RevokeToken(command) => apply.revoke_token(&command.token),
        Command::RaiseMassLoss(command) => apply.raise_mass_loss(&command),
        Command::AcknowledgeMassLoss => apply.acknowledge_mass_loss(),
        Command::EndMassLoss(command) => apply.end_mass_loss(command.term),
        Command::NoteRival(command) => apply.note_rival(command),
        Command::ChangeHealth(command) => apply.change_health(command),
        Command::RaiseLevel(command) => apply.raise_level(&command),
        Command::SeedSettings(command) => apply.seed_settings(command),
        Command::SetSettings(command) => apply.set_settings(command),
        Command::CreateUserToken(command) => apply.create_user_token(command),
        Command::RevokeUserToken(command) => apply.revoke_user_token(&command.token),
        Command::DropOrphans(command) => apply.drop_orphans(command),
        Command::AdoptIssuer(command) => apply.adopt_issuer(command),
        Command::IssueCertificate(command) => apply.issue_certificate(command),
        Command::RevokeCertificates(command) => apply.revoke_certificates(&command),
        Command::ForgetWorker(command) => apply.forget_worker(&command),
        Command::RotateAuthority(command) => apply.rotate_authority(command),
        Command::PutSchedule(command) => apply.put_schedule(command),
        Command::DeleteSchedule(command) => apply.delete_schedule(&command.name),
        Command::PauseSchedule(command) => apply.pause_schedule(&command),
        Command::RunSchedule(command) => apply.run_schedule(command),
        Command::AdvanceSchedules(command) => apply.advance_schedules(command),
        Command::PutQueue(command) => apply.put_queue_settings(&command),
        Command::PauseQueue(command) => apply.pause_queue(&command),
        Command::DeleteQueue(command) => apply.delete_queue(&command.name),
        // The record of it is all that it does.
        Command::NoteOrder(_) => Ok(Reply::Done),
        Command::PruneTrail(command) => apply.prune_trail(command),
        Command::Ordered(_) => Err(Rejection::invalid("an order of an order")),
    }
}

/// A command being applied. Every write to the state goes through it and is recorded as a change.
struct Apply<'a> {
    state: &'a mut State,
    index: LogIndex,
    now: Timestamp,
    meta: Meta,
    changes: Vec<Change>,
    /// Tasks whose dependents this command has begun to abort.
    cascades: BTreeSet<TaskId>,
    /// Edges between tasks that this command has visited.
    edges: usize,
}

impl Apply<'_> {
    /// Returns the bounds of the cluster's level.
    const fn limits(&self) -> &'static Limits {
        Limits::at(self.meta.level)
    }

    /// Refuses a command of a leader whose term is over.
    const fn check_term(&self, term: Term) -> Result<(), Rejection> {
        let current = self.meta.term;
        if term.0 < current.0 {
            return Err(Rejection::StaleTerm { term, current });
        }
        Ok(())
    }

    fn worker(&self, id: &WorkerId) -> Result<Arc<Worker>, Rejection> {
        let unknown = || Rejection::UnknownWorker { worker: id.as_str().into() };
        self.state.worker(id).cloned().ok_or_else(unknown)
    }

    fn live_task(&self, id: TaskId) -> Result<Arc<Task>, Rejection> {
        self.state.task(id).cloned().ok_or(Rejection::NotLive { task: id })
    }

    /// Writes a task. One that is over keeps its secret variables no longer, and one that is not has no
    /// result yet.
    fn put_task(&mut self, mut task: Task) {
        if !task.state.is_terminal() {
            task.set_result(None);
        }
        if task.state.is_terminal() && task.spec.secret_env.has_values() {
            let spec = Arc::make_mut(&mut task.spec);
            spec.secret_env = spec.secret_env.without_values();
        }
        let ahead = task.ahead.filter(|_| task.live_attempt().is_some());
        let mut task = Arc::new(Task { index: self.index, ahead, ..task });
        self.state.intern(&mut task);
        self.state.put_task(&task);
        self.note_end(task.id, task.state);
        self.changes.push(Change::Put(Record::Task(task)));
    }

    fn put_worker(&mut self, worker: Worker) {
        let worker = Arc::new(Worker { index: self.index, ..worker });
        self.state.put_worker(Arc::clone(&worker));
        self.changes.push(Change::Put(Record::Worker(worker)));
    }

    fn put_departed(&mut self, departed: Departed) {
        self.state.put_departed(departed.clone());
        self.changes.push(Change::Put(Record::Departed(departed)));
    }

    fn remove_departed(&mut self, id: &WorkerId) {
        if self.state.departed_worker(id).is_some() {
            self.state.remove_departed(id);
            self.changes.push(Change::Delete(Key::Departed(id.clone())));
        }
    }

    fn put_token(&mut self, token: JoinToken) {
        self.state.put_token(token.clone());
        self.changes.push(Change::Put(Record::Token(token)));
    }

    fn remove_token(&mut self, id: &TokenId) {
        self.state.remove_token(id);
        self.changes.push(Change::Delete(Key::Token(id.clone())));
    }

    fn put_mass_loss(&mut self, mass_loss: MassLoss) {
        self.state.put_mass_loss(Some(mass_loss));
        self.changes.push(Change::Put(Record::MassLoss(mass_loss)));
    }

    fn remove_mass_loss(&mut self) {
        self.state.put_mass_loss(None);
        self.changes.push(Change::Delete(Key::MassLoss));
    }

    fn put_orphan(&mut self, orphan: Orphan) {
        let orphan = Arc::new(Orphan { index: self.index, ..orphan });
        self.state.put_orphan(Arc::clone(&orphan));
        self.changes.push(Change::Put(Record::Orphan(orphan)));
    }

    fn remove_orphan(&mut self, id: OrphanId) {
        self.state.remove_orphan(id);
        self.changes.push(Change::Delete(Key::Orphan(id)));
    }

    fn remove_worker(&mut self, id: &WorkerId) {
        self.state.remove_worker(id);
        self.changes.push(Change::Delete(Key::Worker(id.clone())));
    }

    fn put_leader(&mut self, record: LeaderRecord) {
        self.state.put_leader(record.clone());
        self.changes.push(Change::Put(Record::Leader(record)));
    }

    fn put_key(&mut self, record: IdempotencyRecord) {
        self.state.put_key(record.clone());
        self.changes.push(Change::Put(Record::IdempotencyKey(record)));
    }

    fn remove_key(&mut self, key: &Arc<str>) {
        self.state.remove_key(key);
        self.changes.push(Change::Delete(Key::IdempotencyKey(Arc::clone(key))));
    }

    fn forget_task(&mut self, id: TaskId) {
        self.changes.push(Change::Delete(Key::Task(id)));
    }
}
