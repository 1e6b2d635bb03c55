//! Tests of the waits between attempts.

use std::sync::Arc;

use super::*;
use crate::{
    Attempt, AttemptNumber, AttemptOutcome, Class, Epoch, LogIndex, OnDisconnect, Resources,
    TaskId, TaskSpec, TextMap,
};

/// Returns a task that has failed so often, with a wait of one second at first.
fn failed(id: u64, failures: u32, timing: Timing) -> Task {
    let class = Class {
        priority: 50,
        resources: Resources::default(),
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    let spec = TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 100,
        retry_backoff: Duration::from_secs(1),
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: crate::SecretMap::default(),
        timing: timing.boxed(),
    };
    let attempt = Attempt {
        number: AttemptNumber(failures),
        worker: "w1".parse().unwrap(),
        epoch: Epoch(1),
        assigned_at: Timestamp(0),
        started_at: None,
        finished_at: None,
        stop: None,
        outcome: Some(AttemptOutcome::Exited { code: 1 }),
        usage: None,
    };
    Task {
        id: TaskId(id),
        spec: Arc::new(spec),
        state: TaskState::Queued,
        reason: None,
        submitted_at: Timestamp(0),
        finished_at: None,
        failures,
        losses: 0,
        attempts: vec![attempt],
        index: LogIndex(1),
        course: None,
        ahead: None,
    }
}

fn waits(policy: &RetryPolicy, failures: &[u32]) -> Vec<u128> {
    let timing = |retry: &RetryPolicy| Timing { retry: retry.clone(), ..Timing::default() };
    let wait = |failures: &u32| failed(7, *failures, timing(policy)).backoff(Limits::NEWEST);
    failures.iter().map(|failures| wait(failures).as_millis()).collect()
}

#[test]
fn a_wait_grows_by_its_factor_up_to_its_bound() {
    let policy = RetryPolicy::default();
    assert_eq!(
        waits(&policy, &[1, 2, 3, 9, 10, 99]),
        [1_000, 2_000, 4_000, 256_000, 300_000, 300_000]
    );
    let policy = RetryPolicy { factor_milli: 1_500, ..RetryPolicy::default() };
    assert_eq!(waits(&policy, &[1, 2, 3, 4]), [1_000, 1_500, 2_250, 3_375]);
    let max_backoff = Some(Duration::from_secs(3_600));
    let policy = RetryPolicy { factor_milli: 10_000, max_backoff, ..RetryPolicy::default() };
    assert_eq!(waits(&policy, &[1, 2, 5, 99]), [1_000, 10_000, 3_600_000, 3_600_000]);
    let policy = RetryPolicy { factor_milli: 1_000, ..RetryPolicy::default() };
    assert_eq!(waits(&policy, &[1, 50]), [1_000, 1_000]);
}

#[test]
fn jitter_shortens_waits_within_its_part_and_spreads_them_evenly() {
    let retry = RetryPolicy { jitter_milli: 250, ..RetryPolicy::default() };
    let timing = Timing { retry, ..Timing::default() };
    let wait = |id| failed(id, 1, timing.clone()).backoff(Limits::NEWEST).as_millis();
    assert_eq!(wait(1), wait(1), "every master waits as long");
    let waits = (1..=1_000).map(wait).collect::<Vec<_>>();
    assert!(waits.iter().all(|wait| (750..=1_000).contains(wait)), "{waits:?}");
    for quarter in [750..813, 813..875, 875..938, 938..1_001] {
        let within = waits.iter().filter(|wait| quarter.contains(*wait)).count();
        assert!((180..320).contains(&within), "{within} within {quarter:?}");
    }
    // A full jitter may take the whole wait.
    let retry = RetryPolicy { jitter_milli: 1_000, ..RetryPolicy::default() };
    let timing = Timing { retry, ..Timing::default() };
    let wait = |id| failed(id, 1, timing.clone()).backoff(Limits::NEWEST).as_millis();
    assert!((1..=1_000).map(wait).min() < Some(10));
    assert!((1..=1_000).map(wait).all(|wait| wait <= 1_000));
}

#[test]
fn exit_codes_are_final_from_the_first_to_the_last() {
    let codes = |first, last| ExitCodes { first, last };
    let final_codes = [codes(2, 2), codes(64, 78)].into();
    let policy = RetryPolicy { final_codes, ..RetryPolicy::default() };
    let found = (-1..=300).filter(|code| policy.is_final(Some(*code))).collect::<Vec<_>>();
    assert_eq!(found, std::iter::once(2).chain(64..=78).collect::<Vec<_>>());
    assert!(!policy.is_final(None));
    assert_eq!(format!("{} {}", codes(2, 2), codes(64, 78)), "2 64-78");
}
