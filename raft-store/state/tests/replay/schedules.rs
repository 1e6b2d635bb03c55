//! Random commands about schedules.

use std::time::Duration;

use cluster_state::{
    AdvanceSchedules, Command, DeleteSchedule, IdempotencyKey, KnownSchedule, LogIndex, Overlap,
    PauseSchedule, PutSchedule, RunSchedule, ScheduleName, SchedulePlan, ScheduleStep, State,
    Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::tasks::spec;
use super::values::term;

/// Draws an order about schedules, or what the leader does with them.
pub(super) fn schedules() -> impl Strategy<Value = Command> {
    let delete = name().prop_map(|name| Command::DeleteSchedule(DeleteSchedule { name }));
    let pause = (name(), any::<bool>())
        .prop_map(|(name, is_paused)| Command::PauseSchedule(PauseSchedule { name, is_paused }));
    let key = ("[ab]", 0..2_u64)
        .prop_map(|(key, fingerprint)| IdempotencyKey { key: key.into(), fingerprint });
    let run = (name(), option::weighted(0.2, key)).prop_map(|(name, idempotency_key)| {
        Command::RunSchedule(RunSchedule { name, idempotency_key })
    });
    prop_oneof![4 => put(), 1 => delete, 2 => pause, 2 => run, 12 => advance()]
}

/// Draws a name, mostly the same one, so that commands meet.
fn name() -> impl Strategy<Value = ScheduleName> {
    prop_oneof![5 => Just("a"), 1 => Just("b")].prop_map(|name| name.parse().unwrap())
}

fn put() -> impl Strategy<Value = Command> {
    let overlap = prop_oneof![1 => Just(Overlap::Skip), 3 => Just(Overlap::BufferOne), 1 => Just(Overlap::Allow)];
    let known = prop_oneof![3 => Just(KnownSchedule::None), 1 => Just(KnownSchedule::Some)];
    let catch_up = (9..20_u64).prop_map(Duration::from_secs);
    let next = option::weighted(0.9, (1..800_u64).prop_map(Timestamp));
    (name(), spec(), (overlap, catch_up), (next, known), prop::bool::weighted(0.1)).prop_map(
        |(name, task, (overlap, catch_up), (next, known), is_paused)| {
            let (cron, zone) = ("@every 1s".to_owned(), "UTC".to_owned());
            let plan = SchedulePlan { cron, zone, overlap, catch_up, task };
            let zone_data = "2026a".to_owned();
            Command::PutSchedule(PutSchedule { name, plan, is_paused, next, zone_data, known })
        },
    )
}

/// Draws a step of each of some schedules, whose times are pauses between runs until they are aimed.
fn advance() -> impl Strategy<Value = Command> {
    let time = || (0..500_u64).prop_map(Timestamp);
    let step = (name(), 0..60_u64, vec(time(), 0..5), option::weighted(0.9, time())).prop_map(
        |(schedule, known_at, due, next)| {
            let known_at = LogIndex(known_at);
            ScheduleStep { schedule, known_at, due, next }
        },
    );
    (term(), vec(step, 1..3)).prop_map(|(term, steps)| {
        Command::AdvanceSchedules(AdvanceSchedules { term, zone_data: "2026b".to_owned(), steps })
    })
}

/// Makes the first run of a schedule one that is ahead.
pub(super) fn aim_put(state: &State, command: &mut PutSchedule) {
    let now = state.meta().now;
    command.next = command.next.map(|next| Timestamp(now.0.saturating_add(next.0)));
}

/// Makes the steps ones that go on from the records.
pub(super) fn aim_advance(state: &State, command: &mut AdvanceSchedules) {
    command.term = state.meta().term;
    command.steps.iter_mut().for_each(|step| aim_step(state, step));
}

fn aim_step(state: &State, step: &mut ScheduleStep) {
    let Some(known) = state.schedule(&step.schedule) else { return };
    step.known_at = known.index;
    let pauses = std::mem::take(&mut step.due);
    let mut at = known.next.unwrap_or(state.meta().now);
    let is_due = |at: Timestamp| at <= state.meta().now;
    for pause in pauses {
        // Most times have come; the first is proposed too early now and then.
        if known.next.is_none() || (!is_due(at) && pause.0 % 8 > 0) {
            break;
        }
        step.due.push(at);
        at = Timestamp(at.0.saturating_add(pause.0).saturating_add(1));
    }
    // If nothing is due, a run that waits may start, or the next time is another.
    if step.due.is_empty() && step.next.is_some_and(|next| next.0 % 8 > 0) {
        step.next = known.next;
        return;
    }
    step.next = step.next.map(|next| Timestamp(at.0.saturating_add(next.0)));
}
