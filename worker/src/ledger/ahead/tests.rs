//! Tests of attempts that wait for room.

use cluster_state::{OnDisconnect, Term};

use super::super::tests::{bounds, ended, lost, registered};
use super::super::{Assigned, Session};
use super::super::{Begin, Cancelled, Order, attempt_ref};
use super::*;

fn cpu(milli: u64) -> Resources {
    Resources { cpu_milli: milli, ..Resources::default() }
}

fn ahead(milli: u64) -> Order {
    let room = Some(cpu(milli));
    Order { on_disconnect: OnDisconnect::Keep, room, begin: Begin::Ahead }
}

/// Returns a ledger with two processors in use by attempts 1 and 2, and the others waiting.
fn crowded(waiting: &[u64], now: Instant) -> Ledger {
    let mut ledger = registered();
    for task in [1, 2] {
        assert_eq!(ledger.on_assigned(attempt_ref(task, 1), ahead(1_000), now), Assigned::Start);
    }
    for task in waiting {
        assert_eq!(ledger.on_assigned(attempt_ref(*task, 1), ahead(1_000), now), Assigned::Wait);
    }
    ledger
}

#[test]
fn attempts_begin_in_their_order_as_soon_as_there_is_room() {
    let now = Instant::now();
    let mut ledger = crowded(&[3, 4, 5], now);
    assert_eq!(ledger.next_starts(now), [], "there is no room");
    assert_eq!(ledger.on_assigned(attempt_ref(3, 1), ahead(1_000), now), Assigned::Known);

    assert!(ledger.on_ended(&ended(attempt_ref(2, 1))));
    assert_eq!(ledger.next_starts(now), [attempt_ref(3, 1)]);
    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    assert!(ledger.on_ended(&ended(attempt_ref(3, 1))));
    assert_eq!(ledger.next_starts(now), [attempt_ref(4, 1), attempt_ref(5, 1)]);
    assert_eq!(ledger.next_give_back(), None);
}

#[test]
fn a_large_attempt_is_not_overtaken() {
    let now = Instant::now();
    let mut ledger = crowded(&[], now);
    assert_eq!(ledger.on_assigned(attempt_ref(3, 1), ahead(2_000), now), Assigned::Wait);
    assert_eq!(ledger.on_assigned(attempt_ref(4, 1), ahead(0), now), Assigned::Wait);

    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    assert_eq!(ledger.next_starts(now), []);
    assert!(ledger.on_ended(&ended(attempt_ref(2, 1))));
    assert_eq!(ledger.next_starts(now), [attempt_ref(3, 1), attempt_ref(4, 1)]);
}

#[test]
fn nothing_waits_beside_an_attempt_of_unknown_size() {
    let now = Instant::now();
    let mut ledger = registered();
    let of_old_leader =
        Order { on_disconnect: OnDisconnect::Keep, room: None, begin: Begin::AtOnce };
    assert_eq!(ledger.on_assigned(attempt_ref(1, 1), of_old_leader, now), Assigned::Start);
    assert_eq!(ledger.on_assigned(attempt_ref(2, 1), ahead(1), now), Assigned::Wait);
    assert_eq!(ledger.wants_ahead(now), 0, "none could begin");
    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    assert_eq!(ledger.next_starts(now), [attempt_ref(2, 1)]);
}

#[test]
fn what_waits_for_too_long_is_given_back_and_may_come_again() {
    let now = Instant::now();
    let mut ledger = crowded(&[3], now);
    assert_eq!(ledger.next_give_back(), Some(now + WAIT_MAX));
    assert_eq!(ledger.give_back(now), []);
    assert_eq!(ledger.give_back(now + WAIT_MAX), [Effect::Drop(attempt_ref(3, 1))]);
    assert_eq!(ledger.next_report(1_000), [lost(attempt_ref(3, 1), LossReason::NotStarted)]);

    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    assert_eq!(ledger.next_starts(now + WAIT_MAX), []);
    let again = attempt_ref(3, 2);
    assert_eq!(ledger.on_assigned(again, ahead(1_000), now + WAIT_MAX), Assigned::Start);
}

#[test]
fn an_attempt_that_waits_is_cancelled_and_never_begins() {
    let now = Instant::now();
    let mut ledger = crowded(&[3], now);
    assert_eq!(ledger.on_cancelled(attempt_ref(3, 1)), Cancelled::Drop);
    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    assert_eq!(ledger.next_starts(now), []);
    assert_eq!(ledger.on_cancelled(attempt_ref(3, 1)), Cancelled::Over);
    assert_eq!(ledger.next_report(1_000), [lost(attempt_ref(3, 1), LossReason::NotStarted)]);
}

#[test]
fn what_waits_ends_with_the_lease_and_with_the_worker() {
    let now = Instant::now();
    let mut ledger = crowded(&[3], now);
    assert!(ledger.on_lapsed().contains(&Effect::Drop(attempt_ref(3, 1))));
    assert_eq!(ledger.next_report(1_000), [lost(attempt_ref(3, 1), LossReason::NotStarted)]);

    let mut ledger = crowded(&[3], now);
    assert!(ledger.on_closing().contains(&Effect::Drop(attempt_ref(3, 1))));
    assert_eq!(ledger.next_report(1_000), [lost(attempt_ref(3, 1), LossReason::NotStarted)]);

    let mut ledger = crowded(&[3], now);
    assert!(ledger.on_dismissed().contains(&Effect::Drop(attempt_ref(3, 1))));
    assert_eq!(ledger.next_report(1_000), []);
}

#[test]
fn an_attempt_that_waits_is_named_in_a_registration() {
    let now = Instant::now();
    let mut ledger = crowded(&[3, 4], now);
    assert_eq!(ledger.on_registering().running, [1, 2, 3, 4].map(|task| attempt_ref(task, 1)));
    let session = Session {
        epoch: cluster_state::Epoch(5),
        leader: cluster_state::MasterId(1),
        term: Term(8),
    };
    let effects = ledger.on_registered(session, &[attempt_ref(4, 1)], &[]);
    assert_eq!(effects, Ok(vec![Effect::Drop(attempt_ref(4, 1))]));
    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    assert!(ledger.on_ended(&ended(attempt_ref(2, 1))));
    assert_eq!(ledger.next_starts(now), [attempt_ref(3, 1)]);
}

#[test]
fn as_many_are_wanted_as_began_a_moment_ago() {
    let now = Instant::now();
    let mut ledger = crowded(&[3], now);
    assert_eq!(ledger.wants_ahead(now), 2);
    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));
    let later = now + SUPPLY / 2;
    ledger.next_starts(later);
    assert_eq!(ledger.wants_ahead(later), 3);
    assert_eq!(ledger.wants_ahead(later + SUPPLY), 1);
    assert_eq!(ledger.wants_ahead(later + SUPPLY * 2), 0);
}

#[test]
fn the_start_of_a_long_attempt_is_told_until_it_is_on_record() {
    let now = Instant::now();
    let mut ledger = crowded(&[], now);
    assert_eq!(ledger.starts_to_announce(now), []);
    assert_eq!(ledger.next_announcement(), Some(now + ANNOUNCE_AFTER));
    assert!(ledger.on_ended(&ended(attempt_ref(1, 1))));

    let due = now + ANNOUNCE_AFTER;
    assert_eq!(ledger.starts_to_announce(due), [attempt_ref(2, 1)]);
    assert_eq!(ledger.starts_to_announce(due), []);
    let again = due + ANNOUNCE_AGAIN;
    assert_eq!(ledger.starts_to_announce(again), [attempt_ref(2, 1)]);
    ledger.on_announced(&[attempt_ref(2, 1)]);
    assert_eq!(ledger.next_announcement(), None);

    // A leader that goes on from a backup has not heard of it.
    ledger.announce_again(again);
    assert_eq!(ledger.starts_to_announce(again + ANNOUNCE_AFTER), [attempt_ref(2, 1)]);
}

#[test]
fn no_more_wait_than_may() {
    let now = Instant::now();
    let mut ledger = crowded(&[], now);
    let most = Limits::NEWEST.attempts_ahead_max;
    for task in (3_u64..).take(most) {
        assert_eq!(ledger.on_assigned(attempt_ref(task, 1), ahead(1), now), Assigned::Wait);
    }
    let next = attempt_ref(1_000, 1);
    assert_eq!(ledger.on_assigned(next, ahead(1), now), Assigned::NoRoom);
    assert_eq!(bounds().attempts_max, 100, "which bounds what runs");
}

#[test]
fn results_gather_while_the_next_attempts_are_here() {
    let now = Instant::now();
    let mut ledger = crowded(&(3..=40).collect::<Vec<_>>(), now);
    assert_eq!(ledger.stores_at(Some(now), now), now, "two starts are no stream of short attempts");

    for task in 1..=10 {
        assert!(ledger.on_ended(&ended(attempt_ref(task, 1))));
        assert_eq!(ledger.next_starts(now).len(), 1);
    }
    assert_eq!(ledger.stores_at(None, now), now, "the first one waits for none");
    assert_eq!(ledger.stores_at(Some(now), now), now + GATHER);

    for task in 11..=33 {
        assert!(ledger.on_ended(&ended(attempt_ref(task, 1))));
        assert_eq!(ledger.next_starts(now).len(), 1);
    }
    assert_eq!(ledger.stores_at(Some(now), now), now, "few are left");
    let later = now + SUPPLY * 2;
    assert_eq!(ledger.stores_at(Some(later), later), later, "it is not busy any more");
}
