//! Tests of the ledger, event by event.

use cluster_state::{OnDisconnect, Resources};
use proto::convert::result_bytes;

use super::*;

const A: AttemptRef = attempt_ref(1, 1);
const B: AttemptRef = attempt_ref(2, 1);
const C: AttemptRef = attempt_ref(3, 1);
const SESSION: Session = Session { epoch: Epoch(4), leader: MasterId(1), term: Term(7) };

/// Returns the bounds of a worker with two processors.
pub(super) fn bounds() -> Bounds {
    let total = Resources { cpu_milli: 2_000, ..Resources::default() };
    Bounds { total, attempts_max: 100, unconfirmed_bytes_max: 1 << 20 }
}

/// Returns an order to begin at once.
fn order(on_disconnect: OnDisconnect) -> Order {
    Order { on_disconnect, room: None, begin: Begin::AtOnce }
}

pub(super) fn ended(attempt: AttemptRef) -> FinishedAttempt {
    FinishedAttempt { attempt, outcome: AttemptOutcome::Exited { code: 0 }, report: None }
}

fn killed(attempt: AttemptRef) -> FinishedAttempt {
    FinishedAttempt { attempt, outcome: AttemptOutcome::Signaled { signal: 9 }, report: None }
}

pub(super) fn lost(attempt: AttemptRef, reason: LossReason) -> FinishedAttempt {
    FinishedAttempt { attempt, outcome: AttemptOutcome::Lost(reason), report: None }
}

pub(super) fn registered() -> Ledger {
    let mut ledger = Ledger::restore(bounds(), []);
    ledger.on_registering();
    assert_eq!(ledger.on_registered(SESSION, &[], &[]), Ok(vec![]));
    ledger
}

fn running(attempts: &[AttemptRef]) -> Ledger {
    let mut ledger = registered();
    for attempt in attempts {
        assert_eq!(
            ledger.on_assigned(*attempt, order(OnDisconnect::Keep), Instant::now()),
            Assigned::Start
        );
    }
    ledger
}

fn unconfirmed(attempts: &[AttemptRef]) -> Ledger {
    let mut ledger = running(attempts);
    for attempt in attempts {
        assert!(ledger.on_ended(&ended(*attempt)));
        ledger.on_stored(vec![ended(*attempt)]);
    }
    ledger
}

#[test]
fn nothing_is_assigned_without_a_session() {
    let mut ledger = Ledger::restore(bounds(), []);
    assert_eq!(ledger.may_assign(Epoch(4)), Err(AssignRefusal::NoSession));

    ledger.on_registering();
    assert_eq!(ledger.may_assign(Epoch(4)), Err(AssignRefusal::NoSession));

    assert_eq!(ledger.on_registered(SESSION, &[], &[]), Ok(vec![]));
    assert_eq!(ledger.may_assign(Epoch(4)), Ok(()));
    let refusal = AssignRefusal::OtherEpoch { ours: Epoch(4), theirs: Epoch(3) };
    assert_eq!(ledger.may_assign(Epoch(3)), Err(refusal));

    ledger.on_session_ended();
    assert_eq!(ledger.may_assign(Epoch(4)), Err(AssignRefusal::NoSession));
}

#[test]
fn an_attempt_starts_once_however_often_it_is_assigned() {
    let mut ledger = running(&[A]);
    assert_eq!(
        ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()),
        Assigned::Known,
        "while it runs"
    );

    ledger.on_ended(&ended(A));
    assert_eq!(
        ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()),
        Assigned::Known,
        "while its result is stored"
    );

    ledger.on_stored(vec![ended(A)]);
    assert_eq!(
        ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()),
        Assigned::Known,
        "while its result is unconfirmed"
    );

    assert_eq!(ledger.on_confirmed(&[A]), [Effect::Forget(A)]);
    assert_eq!(
        ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()),
        Assigned::Known,
        "after its result was confirmed"
    );
}

#[test]
fn a_result_is_reported_until_it_is_confirmed() {
    let mut ledger = unconfirmed(&[A, B, C]);
    let two = 2 * result_bytes(&ended(A));

    assert_eq!(ledger.next_report(two), [ended(A), ended(B)]);
    assert_eq!(ledger.on_confirmed(&[B]), [Effect::Forget(B)]);
    assert_eq!(ledger.next_report(two), [ended(C)]);
    assert_eq!(ledger.next_report(two), [ended(A), ended(C)]);
    ledger.on_confirmed(&[A, C]);
    assert_eq!(ledger.next_report(two), []);
    assert!(!ledger.has_unconfirmed());
}

#[test]
fn a_result_is_not_reported_before_it_is_on_disk() {
    let mut ledger = running(&[A]);
    ledger.on_ended(&ended(A));

    assert_eq!(ledger.next_report(BATCH_BYTES), []);
    assert_eq!(ledger.on_registering(), Snapshot { running: vec![A], finished: vec![] });
}

#[test]
fn registering_tells_everything_that_is_not_confirmed() {
    let mut ledger = unconfirmed(&[A]);
    ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now());

    let snapshot = ledger.on_registering();

    assert_eq!(snapshot, Snapshot { running: vec![B], finished: vec![ended(A)] });
}

#[test]
fn the_leader_kills_what_it_does_not_want_and_hears_no_more_of_it() {
    let mut ledger = running(&[A, B]);
    ledger.on_registering();

    assert_eq!(ledger.on_registered(SESSION, &[A], &[]), Ok(vec![Effect::Kill(A)]));

    assert!(!ledger.on_ended(&ended(A)));
    assert_eq!(ledger.on_registering().running, [B]);
}

#[test]
fn an_unwanted_result_that_is_being_stored_is_told_and_then_forgotten() {
    let mut ledger = running(&[A]);
    ledger.on_ended(&ended(A));
    ledger.on_registering();
    assert_eq!(ledger.on_registered(SESSION, &[A], &[]), Ok(vec![]));

    ledger.on_stored(vec![ended(A)]);
    assert_eq!(ledger.next_report(BATCH_BYTES), [ended(A)]);
    assert_eq!(ledger.on_confirmed(&[A]), [Effect::Forget(A)]);
    assert_eq!(ledger.next_report(BATCH_BYTES), []);
}

#[test]
fn a_lapsed_lease_kills_what_runs_and_keeps_what_ended() {
    let mut ledger = unconfirmed(&[A]);
    ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now());
    ledger.on_assigned(C, order(OnDisconnect::Requeue), Instant::now());
    ledger.on_ended(&ended(C));

    assert_eq!(ledger.on_lapsed(), [Effect::Kill(B)]);

    assert_eq!(ledger.session(), None);
    ledger.on_stored(vec![ended(C)]);
    assert_eq!(ledger.on_registering().running, [B], "until it is gone nobody else may run it");
    assert!(!ledger.on_ended(&killed(B)));
    let finished = [ended(A), lost(B, LossReason::LeaseExpired), ended(C)];
    assert_eq!(ledger.on_registering(), Snapshot { running: vec![], finished: finished.into() });
}

#[test]
fn what_ended_by_itself_before_it_was_fenced_has_a_result() {
    let mut ledger = running(&[A]);
    ledger.on_lapsed();

    assert!(ledger.on_ended(&ended(A)));

    ledger.on_stored(vec![ended(A)]);
    assert_eq!(ledger.on_registering().finished, [ended(A)]);
}

#[test]
fn only_attempts_that_asked_for_it_end_with_the_connection() {
    let mut ledger = running(&[A]);
    ledger.on_assigned(B, order(OnDisconnect::Requeue), Instant::now());

    assert_eq!(ledger.on_disconnected(), [Effect::Kill(B)]);

    assert_eq!(ledger.session(), Some(SESSION), "the lease goes on");
    assert!(!ledger.on_ended(&killed(B)));
    let finished = vec![lost(B, LossReason::WorkerDisconnected)];
    assert_eq!(ledger.on_registering(), Snapshot { running: vec![A], finished });
}

#[test]
fn a_loss_is_reported_until_it_is_confirmed_and_nothing_of_it_is_on_disk() {
    let mut ledger = running(&[A]);
    ledger.on_lapsed();
    ledger.on_ended(&killed(A));

    assert_eq!(ledger.next_report(BATCH_BYTES), [lost(A, LossReason::LeaseExpired)]);
    assert_eq!(ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()), Assigned::Known);
    assert_eq!(ledger.on_confirmed(&[A]), []);
    assert_eq!(ledger.next_report(BATCH_BYTES), []);
}

#[test]
fn a_dismissed_worker_ends_everything_and_keeps_what_ended_before() {
    let mut ledger = unconfirmed(&[A]);
    ledger.on_assigned(B, order(OnDisconnect::Requeue), Instant::now());
    ledger.on_assigned(C, order(OnDisconnect::Keep), Instant::now());
    ledger.on_disconnected();

    assert_eq!(ledger.on_dismissed(), [Effect::Kill(B), Effect::Stop(C)]);

    assert_eq!((ledger.session(), ledger.running_count()), (None, 2));
    assert_eq!(ledger.on_dismissed(), [], "once is enough");
    assert!(!ledger.on_ended(&killed(B)) && !ledger.on_ended(&ended(C)));
    assert_eq!(ledger.on_registering(), Snapshot { running: vec![], finished: vec![ended(A)] });
}

#[test]
fn what_a_dismissed_worker_ends_is_reported_once_it_is_taken_back() {
    let mut ledger = running(&[A]);
    assert_eq!(ledger.may_dismiss(SESSION.epoch), Ok(()));
    ledger.on_dismissed();
    assert_eq!(ledger.on_registering().running, [A]);
    let session = Session { epoch: SESSION.epoch.next(), ..SESSION };
    assert_eq!(ledger.on_registered(session, &[], &[]), Ok(vec![Effect::Kill(A)]));
    assert_eq!(ledger.may_dismiss(SESSION.epoch), Err(Overtaken), "that registration is over");

    assert!(!ledger.on_ended(&killed(A)));

    assert_eq!(ledger.next_report(9), [lost(A, LossReason::UnknownToWorker)]);
}

#[test]
fn a_lapse_overtakes_the_registration_under_way() {
    let mut ledger = running(&[A]);
    ledger.on_registering();
    ledger.on_lapsed();

    assert_eq!(ledger.on_registered(SESSION, &[], &[]), Err(Overtaken));
    assert_eq!(ledger.session(), None);
}

#[test]
fn an_attempt_that_is_cancelled_before_it_comes_never_starts() {
    let mut ledger = registered();
    assert_eq!(ledger.on_cancelled(A), Cancelled::Unknown);

    assert_eq!(ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()), Assigned::Lost);

    assert_eq!(ledger.next_report(BATCH_BYTES), [lost(A, LossReason::UnknownToWorker)]);
}

#[test]
fn only_a_running_attempt_is_stopped_by_a_cancel() {
    let mut ledger = unconfirmed(&[A]);
    ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now());

    assert_eq!(ledger.on_cancelled(A), Cancelled::Over);
    assert_eq!(ledger.on_cancelled(B), Cancelled::Stop);
    assert_eq!(ledger.on_cancelled(B), Cancelled::Stop, "the leader may repeat it");

    ledger.on_confirmed(&[A]);
    assert_eq!(ledger.on_cancelled(A), Cancelled::Unknown);
    assert_eq!(
        ledger.on_assigned(A, order(OnDisconnect::Keep), Instant::now()),
        Assigned::Known,
        "it stays confirmed"
    );
}

#[test]
fn there_is_room_for_so_many_attempts() {
    // Results that wait for the leader take no slot.
    let mut ledger = Ledger::restore(Bounds { attempts_max: 1, ..bounds() }, [ended(A)]);
    ledger.on_registering();
    assert_eq!(ledger.on_registered(SESSION, &[], &[]), Ok(vec![]));

    assert_eq!(ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now()), Assigned::Start);
    assert_eq!(ledger.on_assigned(C, order(OnDisconnect::Keep), Instant::now()), Assigned::NoRoom);

    assert!(ledger.on_ended(&ended(B)));
    assert_eq!(ledger.on_assigned(C, order(OnDisconnect::Keep), Instant::now()), Assigned::NoRoom);
    ledger.on_stored(vec![ended(B)]);
    assert_eq!(ledger.on_assigned(C, order(OnDisconnect::Keep), Instant::now()), Assigned::Start);
}

#[test]
fn what_ends_well_while_the_worker_shuts_down_is_reported_and_nothing_else_is() {
    let mut ledger = unconfirmed(&[A]);
    ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now());
    ledger.on_assigned(C, order(OnDisconnect::Keep), Instant::now());

    assert_eq!(ledger.on_closing(), [Effect::Stop(B), Effect::Stop(C)]);

    assert_eq!(ledger.may_assign(Epoch(4)), Err(AssignRefusal::Closing));
    assert_eq!(ledger.on_registering().running, [B, C], "they still occupy the worker");
    assert!(!ledger.on_ended(&killed(C)), "the leader knows it as lost");
    assert!(ledger.on_ended(&ended(B)));
    assert_eq!(ledger.on_registering().running, [B], "until it is on disk");
    ledger.on_stored(vec![ended(B)]);
    assert_eq!(ledger.on_registering().finished, [ended(A), ended(B)]);
}

#[test]
fn an_exit_code_after_the_order_to_stop_says_nothing_about_the_task() {
    let mut ledger = running(&[A]);
    ledger.on_closing();
    let outcome = AttemptOutcome::Exited { code: 143 };
    assert!(!ledger.on_ended(&FinishedAttempt { attempt: A, outcome, report: None }));
    assert_eq!(ledger.on_registering(), Snapshot::default());
}

#[test]
fn a_dismissal_outweighs_a_shutdown() {
    let mut ledger = running(&[A]);
    ledger.on_closing();
    assert_eq!(ledger.on_dismissed(), []);
    assert!(!ledger.on_ended(&ended(A)), "somebody else runs it by now");
}

#[test]
fn a_registration_names_the_results_that_do_not_fit_into_it() {
    let long = |task| {
        let outcome = AttemptOutcome::StartFailed { detail: "x".repeat(1_024) };
        FinishedAttempt { attempt: attempt_ref(task, 1), outcome, report: None }
    };
    let count = 3 * BATCH_BYTES / 1_024;
    let bounds = Bounds { attempts_max: usize::MAX, ..bounds() };
    let mut ledger = Ledger::restore(bounds, (1..=count as u64).map(long));

    let Snapshot { running: unsent, finished } = ledger.on_registering();

    let bytes = finished.iter().map(result_bytes).sum::<usize>();
    assert!(bytes <= BATCH_BYTES && finished.len() > count / 4);
    assert_eq!(finished.len() + unsent.len(), count);
    assert!(finished.iter().all(|result| !unsent.contains(&result.attempt)));

    let stale = unsent[0];
    let effects = ledger.on_registered(SESSION, &[stale], &[finished[0].attempt]).unwrap();
    assert_eq!(effects, [Effect::Forget(finished[0].attempt)]);
    let reported = ledger.next_report(usize::MAX);
    assert!(reported.iter().any(|result| result.attempt == stale), "it is told all the same");
    assert_eq!(ledger.on_confirmed(&[stale]), [Effect::Forget(stale)]);
    assert_eq!(ledger.on_registering().running.len(), unsent.len() - 2);
}

#[test]
fn nothing_begins_while_too_many_bytes_of_results_wait() {
    let bounds = Bounds { unconfirmed_bytes_max: 1, ..bounds() };
    let mut ledger = Ledger::restore(bounds, [ended(A)]);
    ledger.on_registering();
    ledger.on_registered(SESSION, &[], &[]).unwrap();
    let refusal = AssignRefusal::SpoolFull;
    assert_eq!(ledger.may_assign(SESSION.epoch), Err(refusal));
    assert_eq!(ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now()), Assigned::NoRoom);

    ledger.on_confirmed(&[A]);
    assert_eq!(ledger.may_assign(SESSION.epoch), Ok(()));
    assert_eq!(ledger.on_assigned(B, order(OnDisconnect::Keep), Instant::now()), Assigned::Start);
}

#[test]
fn results_of_an_earlier_process_are_reported() {
    let mut ledger = Ledger::restore(bounds(), [ended(A)]);

    assert_eq!(ledger.on_registering().finished, [ended(A)]);
    assert_eq!(ledger.next_report(BATCH_BYTES), [ended(A)]);
}
