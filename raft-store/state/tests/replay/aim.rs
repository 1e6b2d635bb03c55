//! Turns some of the numbers that were drawn at random into ones that the state knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    AssignAhead, AssignTasks, Assignment, Attempt, AttemptRef, CancelTask, ChangeHealth, Command,
    ConnectWorker, DisconnectWorkers, EndMassLoss, Epoch, FinishAttempts, FinishedAttempt,
    ForgetDeparted, HoldAttempts, KnownEnds, LogIndex, NoteRival, PruneTrail, RaiseLevel,
    RaiseMassLoss, RequeueAttempts, RetryTask, RotateAuthority, RotationStep, SeedSettings,
    SetSettings, StartAttempts, State, SubmitGraph, Task, TaskEnd, TaskId, WorkerId,
};

use super::jobs::{aim_step, aim_step_at_past};
use super::schedules::{aim_advance, aim_put};

/// Precision with which the numbers of a command are made to match the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Terms, epochs and attempts stay as drawn.
    Blind,
    /// They match, but the attempts may be another worker's.
    Astray,
    /// They match.
    True,
}

/// Knowledge of a leader beside the state.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Records of finished tasks, in the order in which they were written.
    pub(crate) finished: Vec<Arc<Task>>,
    /// Last index of the log.
    pub(crate) index: LogIndex,
}

fn aim_assignments(state: &State, assignments: &mut [Assignment]) {
    let queued = state.queue().flat_map(|(_, queue)| queue.tasks()).collect::<Vec<_>>();
    assignments.iter_mut().for_each(|one| one.task = nearest(&queued, one.task));
}

fn aim_attempts(state: &State, aim: Aim, worker: &WorkerId, attempts: &mut [AttemptRef]) {
    let placed = placed_on(state, aim, worker);
    attempts.iter_mut().for_each(|one| *one = hit(&placed, *one));
}

fn aim_ends(state: &State, aim: Aim, worker: &WorkerId, ends: &mut [FinishedAttempt]) {
    let placed = placed_on(state, aim, worker);
    ends.iter_mut().for_each(|one| one.attempt = hit(&placed, one.attempt));
}

/// Replaces terms, epochs and attempts in a command by the nearest that the state knows.
pub(super) fn aim_at(state: &State, aim: Aim, command: &mut Command) {
    let newest = state.meta().term;
    match command {
        Command::AssignTasks(AssignTasks { term, assignments })
        | Command::AssignAhead(AssignAhead { term, assignments }) => {
            *term = newest;
            aim_assignments(state, assignments);
        }
        Command::ConnectWorker(command) => aim_connection(state, aim, command),
        Command::DisconnectWorkers(DisconnectWorkers { term, workers, .. })
        | Command::RequeueAttempts(RequeueAttempts { term, workers, .. }) => {
            *term = newest;
            workers.iter_mut().for_each(|(worker, epoch)| *epoch = epoch_of(state, worker));
        }
        Command::StartAttempts(StartAttempts { term, worker, epoch, attempts })
        | Command::HoldAttempts(HoldAttempts { term, worker, epoch, attempts }) => {
            *term = newest;
            *epoch = epoch_of(state, worker);
            aim_attempts(state, aim, worker, attempts);
        }
        Command::FinishAttempts(FinishAttempts { worker, epoch, attempts }) => {
            *epoch = epoch_of(state, worker);
            aim_ends(state, aim, worker, attempts);
        }
        Command::ChangeHealth(ChangeHealth { term, changes }) => {
            *term = newest;
            changes.iter_mut().for_each(|one| one.epoch = epoch_of(state, &one.worker));
        }
        Command::CancelTask(command) => aim_cancel(state, command),
        Command::RetryTask(_) | Command::SubmitGraph(_) => {}
        Command::AdvanceJob(command) => aim_step(state, command),
        Command::Tick(tick) => tick.term = newest,
        Command::ForgetDeparted(command) => aim_farewell(state, command),
        Command::NoteRival(NoteRival { term, .. })
        | Command::RaiseMassLoss(RaiseMassLoss { term, .. })
        | Command::RaiseLevel(RaiseLevel { term, .. })
        | Command::SeedSettings(SeedSettings { term, .. })
        | Command::PruneTrail(PruneTrail { term, .. })
        | Command::EndMassLoss(EndMassLoss { term }) => *term = newest,
        Command::Ordered(ordered) => aim_at(state, aim, &mut ordered.command),
        Command::RotateAuthority(RotateAuthority { step }) => aim_rotation(state, step),
        Command::SetSettings(SetSettings { base, .. }) => {
            *base = state.settings().map_or(*base, |known| known.index);
        }
        Command::PutSchedule(command) => aim_put(state, command),
        Command::AdvanceSchedules(command) => aim_advance(state, command),
        Command::DeleteSchedule(_)
        | Command::PauseSchedule(_)
        | Command::RunSchedule(_)
        | Command::PutQueue(_)
        | Command::PauseQueue(_)
        | Command::DeleteQueue(_)
        | Command::BeginTerm(_)
        | Command::RegisterWorker(_)
        | Command::UnregisterWorker(_)
        | Command::SetScheduling(_)
        | Command::LabelWorker(_)
        | Command::CreateToken(_)
        | Command::RevokeToken(_)
        | Command::CreateUserToken(_)
        | Command::RevokeUserToken(_)
        | Command::DropOrphans(_)
        | Command::NoteOrder(_)
        | Command::AdoptIssuer(_)
        | Command::IssueCertificate(_)
        | Command::RevokeCertificates(_)
        | Command::ForgetWorker(_)
        | Command::AcknowledgeMassLoss
        | Command::StartJob(_)
        | Command::SubmitTasks(_) => {}
    }
}

fn aim_cancel(state: &State, CancelTask { task }: &mut CancelTask) {
    let live = state.tasks_below(None).map(|task| task.id).collect::<Vec<_>>();
    *task = nearest(&live, *task);
}

fn aim_farewell(state: &State, command: &mut ForgetDeparted) {
    command.term = state.meta().term;
    for (worker, epoch) in &mut command.workers {
        *epoch = departed_epoch_of(state, worker);
    }
}

fn aim_connection(state: &State, aim: Aim, command: &mut ConnectWorker) {
    command.term = state.meta().term;
    let placed = placed_on(state, aim, &command.worker);
    let finished = command.finished.iter_mut().map(|finished| &mut finished.attempt);
    command.running.iter_mut().chain(finished).for_each(|one| *one = hit(&placed, *one));
}

fn aim_rotation(state: &State, step: &mut RotationStep) {
    let under_way = state.issuer().and_then(|known| known.rotation.as_ref());
    match step {
        RotationStep::Begin(_) => {}
        RotationStep::Issue { rotation }
        | RotationStep::Finish { rotation }
        | RotationStep::Abort { rotation } => {
            *rotation = under_way.map_or(*rotation, |known| known.id);
        }
    }
}

/// Replaces the record of an order to retry a task by one that a proposer may have read: the newest one,
/// or, if the aim is bad, one that may be out of date.
pub(super) fn aim_at_past(past: &Past, aim: Aim, command: &mut Command) {
    if let Command::Ordered(ordered) = command {
        return aim_at_past(past, aim, &mut ordered.command);
    }
    if let Command::AdvanceJob(command) = command {
        return aim_step_at_past(past, aim, command);
    }
    if let Command::SubmitGraph(SubmitGraph { graph, .. }) = command {
        (graph.ends, graph.known_at) = known_ends(past, aim);
        return;
    }
    let Command::RetryTask(RetryTask { task, known_at, ends }) = command else { return };
    *ends = known_ends(past, aim).0;
    let drawn = usize::try_from(known_at.0).unwrap_or(0) % past.finished.len().max(1);
    let Some(picked) = past.finished.get(drawn) else { return };
    if aim == Aim::True {
        let newest = past.finished.iter().rev().find(|other| other.id == picked.id);
        (*task, *known_at) = (Arc::clone(newest.unwrap_or(picked)), past.index);
    } else {
        (*task, *known_at) = (Arc::clone(picked), picked.index);
    }
}

/// Returns the ends of finished tasks, or, if the aim is bad, what was known before the last one of them.
fn known_ends(past: &Past, aim: Aim) -> (KnownEnds, LogIndex) {
    let known_at = match past.finished.last() {
        Some(last) if aim == Aim::Astray => LogIndex(last.index.0.saturating_sub(1)),
        Some(_) | None => past.index,
    };
    let known = past.finished.iter().filter(|task| task.index <= known_at);
    let ends = known.filter_map(|task| Some((task.id, TaskEnd::of(task.state)?)));
    (ends.collect::<BTreeMap<_, _>>().into_iter().collect(), known_at)
}

fn epoch_of(state: &State, worker: &WorkerId) -> Epoch {
    state.worker(worker).map_or(Epoch(0), |worker| worker.epoch)
}

fn departed_epoch_of(state: &State, worker: &WorkerId) -> Epoch {
    state.departed_worker(worker).map_or(Epoch(0), |departed| departed.worker.epoch)
}

fn placed_on(state: &State, aim: Aim, worker: &WorkerId) -> Vec<AttemptRef> {
    let is_meant = |attempt: &Attempt| aim == Aim::Astray || attempt.worker == *worker;
    let live = |task: &Arc<Task>| {
        let attempt = task.live_attempt().filter(|attempt| is_meant(attempt))?;
        Some(AttemptRef { task: task.id, attempt: attempt.number })
    };
    state.tasks_below(None).filter_map(live).collect()
}

fn nearest(ids: &[TaskId], drawn: TaskId) -> TaskId {
    ids.iter().copied().min_by_key(|id| id.0.abs_diff(drawn.0)).unwrap_or(drawn)
}

fn hit(placed: &[AttemptRef], drawn: AttemptRef) -> AttemptRef {
    placed.iter().copied().min_by_key(|one| one.task.0.abs_diff(drawn.task.0)).unwrap_or(drawn)
}
