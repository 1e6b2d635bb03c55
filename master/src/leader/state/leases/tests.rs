//! The deadlines of leases.

use super::*;

const TIMES: LeaseTimes = LeaseTimes {
    heartbeat_interval: Duration::from_secs(5),
    heartbeat_timeout: Duration::from_secs(30),
    lease: Duration::from_secs(300),
};

const PATIENCE: Patience = Patience { granted: TIMES, not_before: None };

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn seconds(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn a_silent_worker_lapses_three_times() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), PATIENCE, start);
    assert_eq!(table.lapsed(seconds(start, 29)), Lapsed::default());

    let due = table.lapsed(seconds(start, 30));
    assert_eq!(due.silent, [(worker(), Epoch(1))]);
    table.on_declared_silent(&worker(), Epoch(1));
    assert_eq!(table.lapsed(seconds(start, 32)), Lapsed::default());
    let due = table.lapsed(seconds(start, 33));
    assert_eq!((due.disconnected, due.expired), (vec![(worker(), Epoch(1))], Vec::new()));
    table.on_eager_requeued(&worker(), Epoch(1));
    assert_eq!(table.lapsed(seconds(start, 329)), Lapsed::default());
    assert_eq!(table.lapsed(seconds(start, 330)).expired, [(worker(), Epoch(1))]);
    table.on_expired(&worker(), Epoch(1));
    assert_eq!(table.lapsed(seconds(start, 999)), Lapsed::default());
}

#[test]
fn an_inherited_worker_is_given_every_limit_anew() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_inactive(&worker(), Epoch(1), PATIENCE, start);
    assert_eq!(table.lapsed(seconds(start, 32)), Lapsed::default());
    assert_eq!(table.lapsed(seconds(start, 33)).disconnected, [(worker(), Epoch(1))]);
    table.on_eager_requeued(&worker(), Epoch(1));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 330)));
}

#[test]
fn a_worker_that_is_back_is_not_settled_with_its_past() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_inactive(&worker(), Epoch(1), PATIENCE, start);
    table.on_connected(&worker(), Epoch(2), PATIENCE, seconds(start, 330));
    table.on_eager_requeued(&worker(), Epoch(1));
    table.on_expired(&worker(), Epoch(1));
    assert!(table.renew(&worker(), Epoch(2), seconds(start, 335)));
}

#[test]
fn what_is_due_does_not_hide_what_comes_next() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), PATIENCE, start);
    table.on_connected(&"w2".parse().unwrap(), Epoch(1), PATIENCE, seconds(start, 10));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 30)));
    assert_eq!(table.next_deadline_after(seconds(start, 30)), Some(seconds(start, 40)));
    assert_eq!(table.next_deadline_after(seconds(start, 40)), None);
}

#[test]
fn a_heartbeat_of_an_older_registration_renews_nothing() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(2), PATIENCE, start);
    assert!(!table.renew(&worker(), Epoch(1), seconds(start, 10)));
    assert!(table.renew(&worker(), Epoch(2), seconds(start, 20)));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 50)));
}

#[test]
fn a_worker_that_was_declared_silent_must_register_again() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), PATIENCE, start);
    table.on_declared_silent(&worker(), Epoch(1));
    assert!(!table.renew(&worker(), Epoch(1), seconds(start, 31)));
}

#[test]
fn a_rest_of_the_leader_is_nobody_s_silence() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), PATIENCE, start);
    table.on_inactive(&"w2".parse().unwrap(), Epoch(1), PATIENCE, start);
    table.on_rested(Duration::from_secs(2));
    assert_eq!(table.lapsed(seconds(start, 31)), Lapsed::default());
    assert_eq!(table.lapsed(seconds(start, 32)).silent, [(worker(), Epoch(1))]);
    assert_eq!(table.lapsed(seconds(start, 35)).disconnected.len(), 1);
}

#[test]
fn a_new_leader_waits_for_a_worker_that_it_has_not_heard() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_active(&worker(), Epoch(1), PATIENCE, start);
    assert_eq!(table.silence(&worker(), seconds(start, 1)), None);
    assert_eq!(table.lapsed(seconds(start, 29)), Lapsed::default());

    assert!(table.renew(&worker(), Epoch(1), seconds(start, 29)));
    assert_eq!(table.silence(&worker(), seconds(start, 30)), Some(Duration::from_secs(1)));
    assert_eq!(table.lapsed(seconds(start, 30)), Lapsed::default());
}

#[test]
fn a_forgotten_worker_never_lapses() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), PATIENCE, start);
    table.forget(&worker());
    assert_eq!(table.next_deadline_after(start), None);
    assert_eq!(table.silence(&worker(), start), None);
}

#[test]
fn a_slow_answer_does_not_undo_a_later_registration() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(2), PATIENCE, seconds(start, 5));
    table.on_connected(&worker(), Epoch(1), PATIENCE, seconds(start, 6));
    assert!(table.listens_for(&worker(), Epoch(2)));

    table.on_connected(&worker(), Epoch(2), PATIENCE, start);
    assert_eq!(table.silence(&worker(), seconds(start, 6)), Some(Duration::from_secs(1)));
    assert_eq!(table.active_count(), 1);
}

#[test]
fn a_registration_that_nobody_answered_gets_one_timeout() {
    let start = Instant::now();
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), PATIENCE, start);
    table.on_active(&worker(), Epoch(2), PATIENCE, seconds(start, 10));
    assert_eq!(table.lapsed(seconds(start, 39)), Lapsed::default());
    assert_eq!(table.lapsed(seconds(start, 40)).silent, [(worker(), Epoch(2))]);

    // The state says so again with each change of the record: nothing begins anew by that.
    table.on_active(&worker(), Epoch(2), PATIENCE, seconds(start, 39));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 40)));
}

#[test]
fn every_worker_is_judged_by_what_it_was_granted() {
    let start = Instant::now();
    let longer = LeaseTimes {
        heartbeat_timeout: Duration::from_secs(60),
        lease: Duration::from_secs(600),
        ..TIMES
    };
    let mut table = LeaseTable::default();
    table.on_active(&worker(), Epoch(1), Patience { granted: longer, not_before: None }, start);
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 60)));
    table.on_declared_silent(&worker(), Epoch(1));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 66)));
    table.on_eager_requeued(&worker(), Epoch(1));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 660)));
}

#[test]
fn a_shorter_grant_ends_nothing_before_the_longer_one_is_over() {
    let start = Instant::now();
    let patience = Patience { granted: TIMES, not_before: Some(seconds(start, 400)) };
    let mut table = LeaseTable::default();
    table.on_connected(&worker(), Epoch(1), patience, start);
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 30)));
    table.on_declared_silent(&worker(), Epoch(1));
    table.on_eager_requeued(&worker(), Epoch(1));
    assert_eq!(table.next_deadline_after(start), Some(seconds(start, 400)));
}
