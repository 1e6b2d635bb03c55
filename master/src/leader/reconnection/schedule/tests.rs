//! The order of contacts, and the backoffs between them.

use super::super::backoff::BACKOFF_MAX;
use super::*;

const INTERVAL: Duration = Duration::from_secs(30);
const SINCE: Timestamp = Timestamp(7);

fn id(name: &str) -> WorkerId {
    name.parse().unwrap()
}

fn inactive() -> InactiveWorker {
    InactiveWorker { since: SINCE, address: "node:50052".to_owned(), interval: INTERVAL }
}

/// A schedule on a clock of its own.
struct Timeline {
    schedule: ContactSchedule,
    now: Instant,
}

impl Timeline {
    fn new(backoff: Backoff, parallel_max: usize) -> Self {
        Self { schedule: ContactSchedule::new(backoff, parallel_max), now: Instant::now() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn inactive(&mut self, names: &[&str]) {
        for name in names {
            self.schedule.on_inactive(&id(name), inactive(), self.now);
        }
    }

    fn round(&mut self) -> Option<Round> {
        self.schedule.begin_round(self.now, |_| true)
    }

    /// Starts all contacts that may start now. Returns the names of the workers.
    fn started(&mut self) -> Vec<String> {
        let started = std::iter::from_fn(|| self.schedule.start_next(self.now));
        started.map(|(worker, _)| worker.as_str().to_owned()).collect()
    }

    fn reached(&mut self, name: &str) -> Option<Completed> {
        self.schedule.on_ended(&id(name), Some(&ContactResult::Reached), self.now, 0)
    }

    fn failed(&mut self, name: &str) -> Option<Completed> {
        self.schedule.on_ended(&id(name), Some(&ContactResult::Offline), self.now, 0)
    }

    fn withdrawn(&mut self, name: &str) -> Option<Completed> {
        self.schedule.on_ended(&id(name), None, self.now, 0)
    }

    fn rest_left(&self) -> Option<Duration> {
        self.schedule.next_due().map(|due| due - self.now)
    }
}

#[test]
fn an_inactive_worker_is_contacted_at_once_and_then_every_interval() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.inactive(&["a"]);
    assert_eq!(time.round(), Some(Round { workers: 1, is_new: true }));
    for _ in 0..20 {
        assert_eq!(time.started(), ["a"]);
        time.failed("a");
        assert_eq!(time.rest_left(), Some(INTERVAL));
        time.pass(INTERVAL);
        assert_eq!(time.round(), Some(Round { workers: 1, is_new: false }));
    }
}

#[test]
fn rests_double_up_to_five_minutes() {
    let rests = (1..8).map(|failures| rest(Backoff::Exponential, INTERVAL, failures, 0).as_secs());
    assert_eq!(rests.collect::<Vec<_>>(), [30, 60, 120, 240, 300, 300, 300]);
    let rests = [1, 9, u32::MAX].map(|failures| rest(Backoff::Off, INTERVAL, failures, 0));
    assert_eq!(rests, [INTERVAL; 3]);
}

#[test]
fn jitter_shortens_a_grown_rest_by_a_fourth_at_most() {
    for random in [0, 1, 512, 1_023, u32::MAX] {
        let third = rest(Backoff::Exponential, INTERVAL, 3, random);
        assert!(third > INTERVAL * 3 && third <= INTERVAL * 4, "{random} gave {third:?}");
        assert_eq!(rest(Backoff::Exponential, INTERVAL, 1, random), INTERVAL);
    }
}

#[test]
fn an_interval_above_the_cap_stays_as_it_is() {
    let interval = BACKOFF_MAX * 2;
    assert_eq!(rest(Backoff::Exponential, interval, 9, u32::MAX), interval);
}

#[test]
fn a_worker_that_was_connected_meanwhile_begins_with_short_rests_again() {
    let mut time = Timeline::new(Backoff::Exponential, 8);
    time.inactive(&["a"]);
    for rest in [30, 60, 120] {
        time.round();
        assert_eq!(time.started(), ["a"]);
        time.failed("a");
        assert_eq!(time.rest_left(), Some(Duration::from_secs(rest)));
        time.pass(Duration::from_secs(rest));
    }
    time.pass(Duration::ZERO);
    let lost_again = InactiveWorker { since: Timestamp(8), ..inactive() };
    time.schedule.on_inactive(&id("a"), lost_again, time.now);
    assert_eq!(time.round(), Some(Round { workers: 1, is_new: true }));
    time.started();
    time.failed("a");
    assert_eq!(time.rest_left(), Some(INTERVAL));
}

#[test]
fn at_most_one_contact_is_in_flight_per_worker() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.inactive(&["a"]);
    time.round();
    assert_eq!(time.started(), ["a"]);
    time.pass(INTERVAL * 3);
    time.inactive(&["a"]);
    time.schedule.request(vec![id("a")], time.now);
    assert_eq!(time.round(), None);
    assert_eq!(time.started(), Vec::<String>::new());
    time.failed("a");
    assert_eq!(time.rest_left(), Some(INTERVAL));
}

#[test]
fn no_more_contacts_than_allowed_are_under_way() {
    let mut time = Timeline::new(Backoff::Off, 2);
    time.inactive(&["a", "b", "c"]);
    time.round();
    assert_eq!(time.started(), ["a", "b"]);
    assert_eq!(time.reached("b"), None);
    assert_eq!(time.started(), ["c"]);
}

#[test]
fn announcements_come_first_then_requests() {
    let mut time = Timeline::new(Backoff::Off, 1);
    time.inactive(&["a", "b", "c"]);
    time.round();
    time.schedule.request(vec![id("c"), id("d")], time.now);
    time.schedule.announce(vec![id("a"), id("e")], time.now);
    let mut order = Vec::new();
    while let [next] = time.started().as_slice() {
        time.failed(next);
        order.push(next.clone());
    }
    // "a" is inactive as far as is known, so the announcement leaves it to the round.
    assert_eq!(order, ["e", "c", "d", "a", "b"]);
}

#[test]
fn a_round_has_ended_when_its_last_contact_has() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.inactive(&["a", "b", "c"]);
    time.round();
    time.started();
    time.pass(Duration::from_secs(1));
    assert_eq!(time.reached("a"), None);
    assert_eq!(time.withdrawn("b"), None);
    time.pass(Duration::from_secs(2));
    let took = Duration::from_secs(3);
    assert_eq!(time.failed("c"), Some(Completed::Round(took)));
}

#[test]
fn announcements_are_counted_and_their_workers_forgotten() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.schedule.announce(vec![id("a"), id("b")], time.now);
    assert_eq!(time.started(), ["a", "b"]);
    time.reached("a");
    let completed = time.failed("b");
    let took = Duration::ZERO;
    assert_eq!(completed, Some(Completed::Announcements { took, reached: 1, failed: 1 }));
    assert_eq!(time.rest_left(), None);
}

#[test]
fn a_worker_that_became_inactive_during_its_announcement_is_contacted_again() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.schedule.announce(vec![id("a")], time.now);
    time.started();
    time.inactive(&["a"]);
    time.failed("a");
    assert_eq!(time.rest_left(), Some(Duration::ZERO));
    assert_eq!(time.round(), Some(Round { workers: 1, is_new: true }));
}

#[test]
fn a_worker_with_a_new_address_is_contacted_at_once() {
    let mut time = Timeline::new(Backoff::Exponential, 8);
    time.inactive(&["a"]);
    time.round();
    time.started();
    time.failed("a");
    let moved = InactiveWorker { address: "other:50052".to_owned(), ..inactive() };
    time.schedule.on_inactive(&id("a"), moved, time.now);
    assert_eq!(time.rest_left(), Some(Duration::ZERO));
}

#[test]
fn a_shorter_interval_takes_effect_at_once_and_a_longer_one_after_the_rest() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.inactive(&["a"]);
    time.round();
    time.started();
    time.failed("a");
    for (interval, left) in [(5, 5), (300, 5)] {
        let interval = Duration::from_secs(interval);
        time.schedule.on_inactive(&id("a"), InactiveWorker { interval, ..inactive() }, time.now);
        assert_eq!(time.rest_left(), Some(Duration::from_secs(left)));
    }
    time.pass(Duration::from_secs(5));
    time.round();
    time.started();
    time.failed("a");
    assert_eq!(time.rest_left(), Some(Duration::from_secs(300)));
}

#[test]
fn workers_that_are_not_wanted_any_more_are_forgotten() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.inactive(&["a", "b"]);
    let round = time.schedule.begin_round(time.now, |worker| *worker == id("b"));
    assert_eq!(round, Some(Round { workers: 1, is_new: true }));
    assert_eq!(time.started(), ["b"]);
    assert_eq!(time.rest_left(), None);
}

#[test]
fn an_unregistered_worker_frees_its_place() {
    let mut time = Timeline::new(Backoff::Off, 1);
    time.inactive(&["a", "b"]);
    time.round();
    assert_eq!(time.started(), ["a"]);
    time.withdrawn("a");
    assert_eq!(time.schedule.forget(&id("a"), time.now), None);
    assert_eq!(time.schedule.forget(&id("b"), time.now), Some(Completed::Round(Duration::ZERO)));
    assert_eq!(time.started(), Vec::<String>::new());
    assert_eq!(time.rest_left(), None);
}

#[test]
fn asking_for_a_worker_makes_its_rests_short_again() {
    let mut time = Timeline::new(Backoff::Exponential, 8);
    time.inactive(&["a"]);
    for _ in 0..6 {
        time.round();
        time.started();
        time.failed("a");
        time.pass(time.rest_left().unwrap());
    }
    time.schedule.request(vec![id("a")], time.now);
    assert_eq!(time.started(), ["a"]);
    time.failed("a");
    assert_eq!(time.rest_left(), Some(INTERVAL));
}

#[test]
fn trouble_with_a_worker_is_news_once() {
    let mut time = Timeline::new(Backoff::Off, 8);
    time.inactive(&["a"]);
    let silent = |seen: &str| ContactResult::Silent(seen.to_owned());
    let refused = |words: &str| ContactResult::Refused(words.to_owned());
    let mut is_news = |trouble| time.schedule.is_news(&id("a"), &trouble);
    assert!(is_news(refused("x")));
    assert!(!is_news(refused("x")));
    assert!(is_news(refused("y")));
    assert!(is_news(silent("a timeout")));
    assert!(!is_news(silent("a reset")));

    time.schedule.on_no_trouble(&id("a"));
    assert!(time.schedule.is_news(&id("a"), &silent("a timeout")));
}

#[test]
fn a_pass_over_ten_thousand_resting_workers_looks_at_none_of_them() {
    let mut time = Timeline::new(Backoff::Off, 256);
    let names = (0..10_000).map(|number| format!("w{number}")).collect::<Vec<_>>();
    time.inactive(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(time.round().map(|round| round.workers), Some(10_000));
    loop {
        let started = time.started();
        if started.is_empty() {
            break;
        }
        for name in started {
            time.failed(&name);
        }
    }
    let mut looked_at = 0;
    let round = time.schedule.begin_round(time.now, |_| {
        looked_at += 1;
        true
    });
    assert_eq!((round, looked_at), (None, 0));
}

#[test]
fn a_fleet_that_answers_is_contacted_over_few_connections() {
    let mut timeline = Timeline::new(Backoff::Off, 256);
    let names = (0..100).map(|number| format!("w{number:03}")).collect::<Vec<_>>();
    timeline.schedule.announce(names.iter().map(|name| id(name)).collect(), timeline.now);

    let first = timeline.started();
    assert_eq!(first.len(), YOUNG_MAX);
    timeline.reached(&first[0]);
    assert_eq!(timeline.started(), [names[YOUNG_MAX].clone()], "one ended, one begins");

    // Those that do not answer are waited for beside the next ones.
    assert_eq!(timeline.schedule.next_start(timeline.now), Some(timeline.now + SLOW_AFTER));
    timeline.pass(SLOW_AFTER);
    assert_eq!(timeline.schedule.next_start(timeline.now), None);
    assert_eq!(timeline.started().len(), YOUNG_MAX);
}
