//! Tests of the bounds of decoded messages, to the byte.

use super::*;
use crate::limits::{ATTEMPTS_HELD_MAX, BATCH_BYTES};
use crate::memory::MemoryBudget;
use crate::v1;

fn decoded<M: Measured>(message: &M) -> usize {
    M::LAYOUT.decoded_bytes(&message.encode_to_vec()).unwrap()
}

/// Returns a submission of one task that has so many empty constraints.
fn constrained(constraints: usize, name: usize) -> Vec<u8> {
    let spec = v1::TaskSpec {
        name: Some("n".repeat(name)),
        constraints: vec![v1::Constraint::default(); constraints],
        ..v1::TaskSpec::default()
    };
    v1::SubmitRequest { tasks: vec![spec], idempotency_key: None }.encode_to_vec()
}

fn problem<U: Measured>(bytes: &[u8]) -> Problem {
    Problem::from(&check::<U>(bytes).unwrap_err())
}

#[test]
fn a_message_may_decode_to_the_bound_and_not_to_a_byte_more() {
    let constraint = decoded(&v1::TaskSpec {
        constraints: vec![v1::Constraint::default(); 2],
        ..v1::TaskSpec::default()
    }) - decoded(&v1::TaskSpec {
        constraints: vec![v1::Constraint::default(); 1],
        ..v1::TaskSpec::default()
    });
    let most = (DECODED_BYTES_MAX - (16 << 10)) / constraint;
    assert!(constrained(most, 0).len() * 64 < DECODED_BYTES_MAX, "it is small on the wire");
    let layout = v1::SubmitRequest::LAYOUT;
    let room = DECODED_BYTES_MAX - layout.decoded_bytes(&constrained(most, 0)).unwrap();

    for (name, fits) in [(room - 1, true), (room, true), (room + 1, false)] {
        let bytes = constrained(most, name);
        let over = layout.decoded_bytes(&bytes).unwrap() > DECODED_BYTES_MAX;
        assert_eq!((check::<v1::SubmitRequest>(&bytes).is_ok(), over), (fits, !fits), "{name}");
    }
    let refused = problem::<v1::SubmitRequest>(&constrained(most, room + 1));
    assert_eq!(refused.kind, ErrorKind::LimitReached);
    assert_eq!(refused.outcome, Some(Outcome::Rejected));
}

#[test]
fn an_answer_that_is_too_large_says_nothing_about_the_deed() {
    let worker = v1::Worker::default();
    let bytes =
        v1::WorkerPage { workers: vec![worker; 200_000], next_cursor: None }.encode_to_vec();
    assert_eq!(problem::<v1::WorkerPage>(&bytes).outcome, Some(Outcome::Unknown));
}

#[test]
fn what_ends_too_early_at_any_depth_is_not_decoded() {
    let nested = |length: u8| [0x0a, 4, 0x3a, length, 0x1a, 0, 0x1a, 0];
    assert!(v1::SubmitRequest::LAYOUT.decoded_bytes(&nested(2)[..6]).is_some());
    // The constraint reaches beyond its task.
    assert_eq!(v1::SubmitRequest::LAYOUT.decoded_bytes(&nested(4)), None);
    assert!(check::<v1::SubmitRequest>(&nested(4)).is_err());
    assert_eq!(v1::SubmitRequest::LAYOUT.decoded_bytes(&[0x0a]), None);
}

#[test]
fn a_worker_may_name_all_attempts_that_it_may_hold() {
    let attempt = v1::AttemptRef { task_id: "t10000000".to_owned(), attempt: 1 };
    let finished = v1::FinishedAttempt {
        attempt: Some(attempt.clone()),
        outcome: Some(v1::finished_attempt::Outcome::ExitCode(0)),
        ..v1::FinishedAttempt::default()
    };
    let batch = (BATCH_BYTES / finished.encoded_len()).min(ATTEMPTS_HELD_MAX);
    let registration = v1::RegisterWorkerRequest {
        running: vec![attempt; ATTEMPTS_HELD_MAX - batch],
        finished: vec![finished; batch],
        ..v1::RegisterWorkerRequest::default()
    };
    assert!(decoded(&registration) <= DECODED_BYTES_MAX);
}

#[tokio::test]
async fn calls_share_what_their_messages_decode_to() {
    let bytes = constrained(1_000, 0);
    let read = || async { check::<v1::SubmitRequest>(&bytes) };
    let size = v1::SubmitRequest::LAYOUT.decoded_bytes(&bytes).unwrap();
    for (room, fits) in [(size - 1, false), (size, true), (size + 1, true)] {
        let read = MemoryBudget::new(room).open().during(read()).await;
        assert_eq!(read.is_ok(), fits, "{room} for {size}");
    }
    let refused = MemoryBudget::new(0).open().during(read()).await.unwrap_err();
    let refused = Problem::from(&refused);
    assert_eq!((refused.kind, refused.outcome), (ErrorKind::Overloaded, Some(Outcome::Rejected)));
}
