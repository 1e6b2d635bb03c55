//! Fuzz tests of conversions: a converted value is within its bounds, and is written as the same
//! message.

use std::fmt::Display;
use std::sync::Arc;

use cluster_fuzz::{Fuzz, mutated};
use cluster_state::{
    AttemptRef, FinishedAttempt, JobAction, RegisterWorker, Resources, SchedulingOrder, Specs,
    TaskSpec,
};
use prost::Message;

use super::{MEMORY, encoded};
use crate::convert::{
    Invalid, NewQueue, NewSchedule, NewUserToken, Registration, finished_attempts, label_changes,
    orphan_selection, scheduling_order, task_batch, task_filter, token_ttl, unfitness,
};
use crate::v1;

/// Reads any bytes as a message and converts it.
fn convert<M: Message + Default, T, E>(
    bytes: &[u8],
    convert: impl FnOnce(M) -> Result<T, E>,
) -> Option<T>
where
    E: Display,
{
    let converted = MEMORY.hold(bytes, |bytes| Some(convert(M::decode(bytes).ok()?)))?;
    // It goes into headers, of which a client takes some 16 KiB.
    converted
        .inspect_err(|error| {
            assert!(error.to_string().len() <= 2_048, "{} is long", error.to_string().len());
        })
        .ok()
}

#[test]
fn what_a_worker_says_is_within_its_bounds() {
    Fuzz::of("registrations and reports").run(mutated(encoded()), |bytes| {
        let register = |wire: v1::RegisterWorkerRequest| Registration::try_from(wire);
        if let Some(registration) = convert(&bytes, register) {
            check_specs(&registration.specs);
            registration.finished.into_iter().for_each(check_finished);
            registration.running.into_iter().for_each(check_attempt);
            assert!(registration.unfit.is_none_or(|text| text.len() <= 1_024));
        }
        let report = |report: v1::ReportTaskCompletionRequest| finished_attempts(report.finished);
        convert(&bytes, report).into_iter().flatten().for_each(check_finished);
        let heartbeat = |heartbeat: v1::HeartbeatRequest| Ok::<_, Invalid>(heartbeat.unfit);
        if let Some(unfit) = convert(&bytes, heartbeat).flatten() {
            assert!(unfitness(unfit).len() <= 1_024);
        }
    });
}

fn check_specs(specs: &Specs) {
    assert_eq!(Specs::try_from(v1::WorkerSpecs::from(specs)).as_ref(), Ok(specs));
    check_resources(&specs.total);
}

/// Checks that ten million tasks, and all workers, add up within the number type.
fn check_resources(resources: &Resources) {
    let Resources { cpu_milli, memory_mib, storage_mib, gpu, slots, custom } = resources;
    let amounts = [*cpu_milli, *memory_mib, *storage_mib, *gpu, *slots];
    for amount in amounts.into_iter().chain(custom.values().copied()) {
        assert!(amount <= 1 << 52, "{amount}");
    }
    let again = Resources::try_from(v1::Resources::from(resources)).unwrap();
    assert_eq!(Resources { slots: *slots, ..again }, *resources);
}

fn check_finished(finished: FinishedAttempt) {
    check_attempt(finished.attempt);
    let sent = v1::FinishedAttempt::try_from(finished.clone()).unwrap();
    assert_eq!(FinishedAttempt::try_from(sent), Ok(finished));
}

fn check_attempt(attempt: AttemptRef) {
    assert_eq!(AttemptRef::try_from(v1::AttemptRef::from(attempt)), Ok(attempt));
}

#[test]
fn what_a_client_asks_for_is_within_its_bounds() {
    Fuzz::of("submissions and orders").run(mutated(encoded()), |bytes| {
        let tasks =
            |submission: v1::SubmitRequest| task_batch(submission.tasks).map(|batch| batch.tasks);
        convert(&bytes, tasks).into_iter().flatten().for_each(|spec| check_spec(&spec));
        let single = |spec: v1::TaskSpec| TaskSpec::try_from(spec).map(Arc::new);
        convert(&bytes, single).into_iter().for_each(|spec| check_spec(&spec));

        let worker = |wire: v1::RegisterRequest| RegisterWorker::try_from(wire);
        if let Some(command) = convert(&bytes, worker) {
            assert!(command.address.is_none_or(|address| address.len() <= 259));
            assert!(command.labels.unwrap_or_default().len() <= 64);
        }
        if let Some((set, _)) = convert(&bytes, label_changes) {
            assert!(set.len() <= 64);
        }
        let order = |wire: v1::SetSchedulingRequest| scheduling_order(&wire);
        if let Some(SchedulingOrder::Drain { timeout: Some(timeout) }) = convert(&bytes, order) {
            assert!(timeout.as_secs() <= 366 * 24 * 3_600);
        }
        convert(&bytes, |wire: v1::DropOrphansRequest| orphan_selection(&wire));
        for action in [JobAction::Cancel, JobAction::Retry] {
            let filter = |wire: v1::TaskSelection| task_filter(wire, action);
            if let Some(filter) = convert(&bytes, filter) {
                assert!(filter.bytes() <= 8 << 10, "{filter:?}");
            }
        }
        let token = |wire: v1::CreateTokenRequest| token_ttl(&wire);
        if let Some(Some(ttl)) = convert(&bytes, token) {
            assert!(!ttl.is_zero());
        }
        if let Some(queue) = convert(&bytes, |wire: v1::QueueSpec| NewQueue::try_from(wire)) {
            assert_eq!(queue.settings.fault(), None);
        }
        let schedule = |wire: v1::ScheduleSpec| NewSchedule::try_from(wire);
        if let Some(schedule) = convert(&bytes, schedule) {
            check_spec(&schedule.plan.task);
            assert!(!schedule.plan.task.names_points_in_time());
        }
        let user_token = |wire: v1::CreateUserTokenRequest| NewUserToken::try_from(wire);
        if let Some(token) = convert(&bytes, user_token) {
            assert!(token.scope.is_none_or(|scope| scope.key.len() + scope.value.len() <= 512));
        }
    });
}

/// Checks the assumptions about every task that the scheduler, the worker's kernel and sums make.
fn check_spec(spec: &TaskSpec) {
    check_resources(&spec.class.resources);
    assert!(spec.class.resources.slots == 1 && spec.class.priority <= 100);
    assert!((1..=100).contains(&spec.max_attempts));
    let texts = spec.command.iter().map(String::as_str);
    let texts = texts.chain(spec.env.iter().flat_map(|(name, value)| [name, value]));
    let secrets = spec.secret_env.iter().flat_map(|(name, value)| [name, value.reveal()]);
    let texts = texts.chain(secrets);
    for text in texts.chain(spec.working_dir.as_deref()) {
        assert!(text.len() < 128 << 10 && !text.contains('\0'), "{text:?}");
    }
    assert!(spec.stdin.as_ref().is_none_or(|stdin| (1..=65_536).contains(&stdin.len())));
    assert!(spec.command.first().is_some_and(|program| !program.is_empty()));
    assert!(spec.env.iter().all(|(name, _)| spec.env.get(name).is_some()));
    let Some(timing) = &spec.timing else { return };
    assert!((1_000..=100_000).contains(&timing.retry.factor_milli));
    assert!(timing.retry.jitter_milli <= 1_000 && timing.retry.final_codes.len() <= 32);
    assert!(timing.retry.final_codes.iter().all(|codes| (1..=codes.last).contains(&codes.first)));
    assert!(timing.retry.max_backoff.is_none_or(|most| most.as_secs() <= 24 * 3_600));
}
