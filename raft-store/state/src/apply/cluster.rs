//! Applies commands about the cluster itself: terms, levels, timers, join tokens, and the mass-loss
//! alarm.

use super::Apply;
use crate::{
    BeginTerm, CreateToken, JoinToken, LeaderRecord, MassLoss, RaiseLevel, RaiseMassLoss,
    Rejection, Reply, Task, Term, Tick, TokenId, WorkerId,
};

impl Apply<'_> {
    /// Begins a term. Every later command of an older term is refused, so a leader that wakes up
    /// late does no harm.
    pub(super) fn begin_term(&mut self, command: &BeginTerm) -> Result<Reply, Rejection> {
        let BeginTerm { term, leader, cluster, live_bytes_max } = *command;
        self.check_term(term)?;

        self.meta.term = term;
        self.meta.cluster.get_or_insert(cluster);
        // The settings of the cluster count, whatever the new leader's configuration says.
        let settled = self.state.settings().map(|record| record.settings.limits.live_bytes);
        self.meta.live_bytes_max = settled.unwrap_or(live_bytes_max);
        // A leader repeats its barrier when it does not know whether the first one was committed.
        let is_repeated = self.state.leaders().next_back().is_some_and(|last| last.term == term);
        if !is_repeated {
            self.put_leader(LeaderRecord { term, leader, since: self.now, index: self.index });
        }
        Ok(Reply::Done)
    }

    /// Raises the cluster's level. A repeated command changes nothing.
    pub(super) fn raise_level(&mut self, command: &RaiseLevel) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        self.meta.level = self.meta.level.max(command.level);
        Ok(Reply::Done)
    }

    /// Fires due timers and removes expired records, up to a bound.
    pub(super) fn tick(&mut self, tick: &Tick) -> Result<Reply, Rejection> {
        self.check_term(tick.term)?;

        let due = self.state.due_tasks(self.now, self.limits().timers_per_tick_max);
        let mut fired = 0;
        for id in &due {
            if self.has_visited_enough() {
                break;
            }
            self.edges = self.edges.saturating_add(self.edges_of(*id));
            fired += 1;
            if let Some(task) = self.state.task(*id).map(|task| Task::clone(task)) {
                self.fire_timer(task);
            }
        }
        let workers = self.state.due_workers(self.now);
        for worker in &workers {
            self.fire_worker_timers(worker);
        }
        let expired = self.expire_keys();
        for id in &tick.forget {
            let is_finished = *id < self.meta.next_task && self.state.task(*id).is_none();
            if is_finished {
                self.forget_task(*id);
            }
        }
        self.pass_on_ends();
        let more = self.state.next_timer().is_some_and(|at| at <= self.now);
        let fired = u32::try_from(fired + workers.len() + expired).unwrap_or(u32::MAX);
        Ok(Reply::Ticked { fired, more })
    }

    fn fire_worker_timers(&mut self, id: &WorkerId) {
        let deadline = self.state.worker(id).and_then(|worker| worker.drain_deadline());
        if deadline.is_some_and(|at| at <= self.now) {
            self.end_drain(id);
        }
        self.fire_health_timer(id);
    }

    fn expire_keys(&mut self) -> usize {
        let mut expired = 0;
        while expired < self.limits().timers_per_tick_max {
            let Some((at, key)) = self.state.oldest_key().cloned() else { break };
            if at.after(self.limits().idempotency_retention) > self.now {
                break;
            }
            self.remove_key(&key);
            expired += 1;
        }
        expired
    }

    /// Creates a token. If there are too many, removes an expired one to make room.
    pub(super) fn create_token(&mut self, command: CreateToken) -> Result<Reply, Rejection> {
        let CreateToken { token: id, digest, ttl, description } = command;
        if self.state.token(&id).is_some() {
            return Err(Rejection::TokenExists { token: id.as_str().into() });
        }
        if ttl.is_some_and(|ttl| ttl > self.limits().operator_timeout_max) {
            return Err(Rejection::too_long("a token lasts", self.limits().operator_timeout_max));
        }
        if self.state.tokens().len() >= self.limits().tokens_max {
            let expired = self.state.tokens().find(|token| token.is_expired(self.now));
            let Some(expired) = expired.map(|token| token.id.clone()) else {
                return Err(Rejection::limit("join tokens", self.limits().tokens_max));
            };
            self.remove_token(&expired);
        }
        let expires_at = ttl.map(|ttl| self.now.after(ttl));
        let (created_at, index) = (self.now, self.index);
        self.put_token(JoinToken { id, digest, description, created_at, expires_at, index });
        Ok(Reply::Done)
    }

    /// Revokes a token. Workers that it admitted stay registered.
    pub(super) fn revoke_token(&mut self, id: &TokenId) -> Result<Reply, Rejection> {
        if self.state.token(id).is_none() {
            return Err(Rejection::InvalidToken { token: id.as_str().into() });
        }
        self.remove_token(id);
        Ok(Reply::Done)
    }

    pub(super) fn check_token(&self, id: &TokenId) -> Result<(), Rejection> {
        let token = self.state.token(id).filter(|token| !token.is_expired(self.now));
        if token.is_none() {
            return Err(Rejection::InvalidToken { token: id.as_str().into() });
        }
        Ok(())
    }

    /// Raises the alarm, or raises the numbers of an alarm that stands already.
    pub(super) fn raise_mass_loss(&mut self, command: &RaiseMassLoss) -> Result<Reply, Rejection> {
        let RaiseMassLoss { term, lost, of } = *command;
        self.check_term(term)?;
        let index = self.index;
        let known = self.state.mass_loss().copied();
        let raised = match known {
            Some(known) => MassLoss { lost: known.lost.max(lost), of: known.of.max(of), ..known },
            None => MassLoss { since: self.now, lost, of, acknowledged_at: None, index },
        };
        if known != Some(raised) {
            self.put_mass_loss(MassLoss { index, ..raised });
        }
        Ok(Reply::Done)
    }

    /// Acknowledges the alarm: from now on, tasks of lost workers are requeued at once.
    pub(super) fn acknowledge_mass_loss(&mut self) -> Result<Reply, Rejection> {
        let Some(known) = self.state.mass_loss().copied() else {
            return Err(Rejection::NoMassLoss);
        };
        if known.brakes() {
            let acknowledged_at = Some(self.now);
            self.put_mass_loss(MassLoss { acknowledged_at, index: self.index, ..known });
        }
        Ok(Reply::Done)
    }

    /// Clears the alarm.
    pub(super) fn end_mass_loss(&mut self, term: Term) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        if self.state.mass_loss().is_some() {
            self.remove_mass_loss();
        }
        Ok(Reply::Done)
    }
}
