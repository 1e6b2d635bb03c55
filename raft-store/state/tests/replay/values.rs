//! Random values: few of each kind, so that they meet.

use std::collections::BTreeMap;

use cluster_state::{
    AttemptNumber, AttemptOutcome, AttemptRef, AttemptReport, AttemptUsage, Constraint,
    ConstraintOp, Epoch, FinishedAttempt, LossReason, Payload, Resources, TaskId, TaskResult, Term,
    WorkerId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) fn resources(amount: std::ops::Range<u64>) -> impl Strategy<Value = Resources> {
    let custom = option::weighted(0.2, amount.clone());
    (amount.clone(), amount, custom).prop_map(|(cpu, memory, license)| Resources {
        cpu_milli: cpu,
        memory_mib: memory,
        storage_mib: 0,
        gpu: 0,
        slots: 0,
        custom: license.map(|amount| ("license".into(), amount)).into_iter().collect(),
    })
}

pub(super) fn constraint() -> impl Strategy<Value = Constraint> {
    let op = prop_oneof![
        "[ab]".prop_map(ConstraintOp::Equals),
        "[ab]".prop_map(ConstraintOp::NotEquals),
        vec("[ab]", 0..3).prop_map(ConstraintOp::In),
        Just(ConstraintOp::Exists),
    ];
    op.prop_map(|op| Constraint { label: "zone".to_owned(), op })
}

pub(super) fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    option::of("[ab]").prop_map(|zone| zone.into_iter().map(|z| ("zone".to_owned(), z)).collect())
}

pub(super) fn finished() -> impl Strategy<Value = FinishedAttempt> {
    let outcome = prop_oneof![
        3 => Just(AttemptOutcome::Exited { code: 0 }),
        5 => Just(AttemptOutcome::Exited { code: 1 }),
        1 => Just(AttemptOutcome::Signaled { signal: 9 }),
        1 => Just(AttemptOutcome::StartFailed { detail: "no such file".to_owned() }),
        2 => Just(AttemptOutcome::WorkerUnfit { detail: "disk-full".to_owned() }),
        1 => Just(AttemptOutcome::Lost(LossReason::WorkerShutdown)),
        1 => Just(AttemptOutcome::Lost(LossReason::NotStarted)),
    ];
    let result = prop_oneof![
        3 => Just(TaskResult::Kept(Payload::from([0, 255].as_slice()))),
        1 => Just(TaskResult::TooLarge { bytes: 70_000 }),
    ];
    let usage = (0..9_u64, any::<bool>()).prop_map(|(cpu_micros, out_of_memory)| AttemptUsage {
        cpu_micros,
        memory_peak_bytes: None,
        out_of_memory,
    });
    let report = (option::of(usage), option::of(result))
        .prop_map(|(usage, result)| AttemptReport { usage, result }.boxed());
    (attempt(), outcome, report).prop_map(|(attempt, outcome, report)| FinishedAttempt {
        attempt,
        outcome,
        report,
    })
}

pub(super) fn attempt() -> impl Strategy<Value = AttemptRef> {
    (task(), 0..4_u32)
        .prop_map(|(task, number)| AttemptRef { task, attempt: AttemptNumber(number) })
}

pub(super) fn task() -> impl Strategy<Value = TaskId> {
    (0..20_u64).prop_map(TaskId)
}

/// Draws a worker; the last one is seldom registered.
pub(super) fn worker() -> impl Strategy<Value = WorkerId> {
    prop_oneof![4 => Just("w1"), 4 => Just("w2"), 1 => Just("w3")]
        .prop_map(|name| name.parse().unwrap())
}

pub(super) fn epoch() -> impl Strategy<Value = Epoch> {
    (0..4_u64).prop_map(Epoch)
}

pub(super) fn term() -> impl Strategy<Value = Term> {
    (0..4_u64).prop_map(Term)
}
