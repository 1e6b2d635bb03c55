//! Exit codes and messages of failures.

use proto::client::AttemptFailure;
use proto::problem::{Fault, Problem};

use super::*;

fn refused(problem: Problem) -> ClientError {
    ClientError::Refused { problem, after_unknown: false }
}

#[test]
fn every_kind_of_failure_has_its_exit_code() {
    let of = |kind| Failure::Client(refused(Problem::new(kind, "no"))).exit_code();
    assert_eq!(of(ErrorKind::InvalidTask), 1);
    assert_eq!(of(ErrorKind::NotFound), 3);
    assert_eq!(of(ErrorKind::IdempotencyConflict), 4);
    assert_eq!(of(ErrorKind::Forbidden), 5);
    assert_eq!(of(ErrorKind::NoLeader), 6);
    assert_eq!(of(ErrorKind::Timeout), 7);
    assert_eq!(Failure::TaskFailed.exit_code(), 8);
    let closed = io::Error::from(io::ErrorKind::BrokenPipe);
    assert_eq!(Failure::Output(closed).exit_code(), 0);
}

#[test]
fn an_unknown_outcome_names_the_key_to_repeat_it_with() {
    let source = ClientError::GaveUp {
        waited: Duration::from_secs(30),
        failure: AttemptFailure::TimedOut,
        is_ambiguous: true,
    };
    let failure = Failure::Submit { source, idempotency_key: "k1".to_owned() };
    let expected = "gave up after 30.0 s: no answer in time\nit may have been accepted: \
                    repeat it with --idempotency-key k1 to find out";
    assert_eq!(failure.message().as_deref(), Some(expected));
}

#[test]
fn every_fault_of_a_refused_task_is_told() {
    let fault =
        |pointer: &str| Fault { pointer: pointer.to_owned(), detail: "is required".to_owned() };
    let problem = Problem {
        errors: vec![fault("/a"), fault("/b")],
        ..Problem::new(ErrorKind::InvalidTask, "/a: is required (and 1 other fault)")
    };
    let message = Failure::Client(refused(problem)).message().unwrap();
    assert_eq!(message, "/a: is required (and 1 other fault)\n  /b: is required");
}
