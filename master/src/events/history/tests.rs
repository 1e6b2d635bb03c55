//! Readers see every event once, in order, wherever they begin and however they are cut.

use proptest::prelude::*;

use super::*;

/// Wants events of one ring, the other, or both; and of these only those that it takes.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    events: bool,
    tasks: bool,
    /// Every so many is taken.
    every: u64,
}

const ALL: Wanted = Wanted { events: true, tasks: true, every: 1 };
const EVENTS: Wanted = Wanted { tasks: false, ..ALL };
const TASKS: Wanted = Wanted { events: false, ..ALL };

impl Select<u64, u64> for Wanted {
    fn reads_events(&self) -> bool {
        self.events
    }

    fn reads_tasks(&self) -> bool {
        self.tasks
    }

    fn takes_event(&self, event: &u64) -> bool {
        self.events && event.is_multiple_of(self.every)
    }

    fn takes_task(&self, task: &u64) -> bool {
        self.tasks && task.is_multiple_of(self.every)
    }
}

/// Number of events and of events of tasks that an entry brings.
type Counts = (usize, usize);

fn empty(room: Counts, applied: LogIndex) -> History<u64, u64> {
    History::new(Ring::new(|_| 1, room.0, applied), Ring::new(|_| 1, room.1, applied))
}

fn filled(room: Counts, counts: &[Counts]) -> History<u64, u64> {
    let mut history = empty(room, LogIndex(0));
    for (index, counts) in (1..).zip(counts) {
        extend(&mut history, index, index, *counts);
    }
    history
}

/// Adds the same number of events for each of some entries.
fn extend(history: &mut History<u64, u64>, from: u64, to: u64, (events, tasks): Counts) {
    let of = |count: usize, first: usize| {
        (from..=to).flat_map(move |index| {
            (0..count).map(move |number| (LogIndex(index), event(index, number + first)))
        })
    };
    history.extend((LogIndex(from), LogIndex(to)), of(events, 0), of(tasks, events));
}

fn event(index: u64, number: usize) -> u64 {
    index * 100 + u64::try_from(number).unwrap()
}

const ROOMY: Counts = (usize::MAX, usize::MAX);

fn values(page: &Page<u64, u64>) -> Vec<u64> {
    let value = |told: &Told<u64, u64>| match told.fact {
        Fact::Event(value) | Fact::Task(value) => value,
    };
    page.events.iter().map(value).collect()
}

fn page(
    history: &History<u64, u64>,
    place: u64,
    wanted: Wanted,
    events_max: usize,
) -> Page<u64, u64> {
    history.after(LogIndex(place).into(), &wanted, events_max).unwrap()
}

#[test]
fn a_reader_gets_what_comes_strictly_after_its_place_in_the_order_of_the_log() {
    let history = filled(ROOMY, &[(1, 1), (0, 2), (0, 0), (1, 0), (1, 1)]);
    let all = page(&history, 1, ALL, 10);
    assert_eq!(values(&all), [200, 201, 400, 500, 501]);
    assert_eq!((all.next, all.is_last), (LogIndex(5).into(), true));
    assert_eq!(history.after(all.next, &ALL, 10).unwrap().events, []);

    assert_eq!(values(&page(&history, 1, EVENTS, 10)), [400, 500]);
    assert_eq!(values(&page(&history, 1, TASKS, 10)), [200, 201, 501]);
}

#[test]
fn all_but_the_last_selected_event_of_an_entry_say_that_more_follows() {
    let history = filled(ROOMY, &[(1, 0), (1, 3), (0, 1)]);
    let more = |wanted, events_max| {
        let page = page(&history, 0, wanted, events_max);
        page.events.iter().map(|told| told.more).collect::<Vec<_>>()
    };
    assert_eq!(more(ALL, 10), [false, true, true, true, false, false]);
    assert_eq!(more(EVENTS, 10), [false, false]);
    assert_eq!(more(TASKS, 10), [true, true, false, false]);
    // 200 and 202 are even, and 300.
    assert_eq!(more(Wanted { every: 2, ..ALL }, 10), [false, true, false, false]);
    // The page ends in the middle.
    assert_eq!(more(ALL, 2), [false, true]);
    assert_eq!(more(Wanted { every: 2, ..ALL }, 2), [false, true]);
}

#[test]
fn a_page_that_ends_within_an_entry_goes_on_there_and_claims_only_what_is_whole() {
    let history = filled(ROOMY, &[(1, 0), (2, 2), (1, 0)]);
    let first = page(&history, 0, ALL, 3);
    assert_eq!(values(&first), [100, 200, 201]);
    assert_eq!((first.next.index(), first.next.is_whole()), (LogIndex(1), false));
    let second = history.after(first.next, &ALL, 2).unwrap();
    assert_eq!((values(&second), second.next), (vec![202, 203], LogIndex(2).into()));
    let third = history.after(second.next, &ALL, 2).unwrap();
    assert_eq!((values(&third), third.next), (vec![300], LogIndex(3).into()));
    // A reader that wants less from here on has not had the rest.
    let rest = history.after(first.next, &TASKS, 9).unwrap();
    assert_eq!(values(&rest), [202, 203]);
}

#[test]
fn a_place_that_the_log_has_not_reached_is_waited_for() {
    let mut history = filled(ROOMY, &[(1, 0), (1, 0)]);
    let early = page(&history, 5, ALL, 10);
    assert_eq!((early.events.len(), early.next), (0, LogIndex(5).into()));
    extend(&mut history, 3, 6, (1, 0));
    assert_eq!(values(&history.after(early.next, &ALL, 10).unwrap()), [600]);
}

#[test]
fn a_place_before_the_start_of_the_process_is_missing() {
    let history = empty(ROOMY, LogIndex(7));
    assert_eq!(page(&history, 7, ALL, 10).events, []);
    let missing = history.after(LogIndex(6).into(), &TASKS, 10).unwrap_err();
    assert_eq!(missing, Missing { floor: LogIndex(7), cause: Cause::Unseen });
}

#[test]
fn the_oldest_entries_make_room_as_a_whole_and_only_for_their_own_kind() {
    let history = filled((4, 2), &[(1, 1), (2, 1), (1, 0), (1, 1), (1, 0)]);
    let missing = |place: u64, wanted| history.after(LogIndex(place).into(), &wanted, 9);
    let dropped = |floor| Missing { floor: LogIndex(floor), cause: Cause::Dropped };
    assert_eq!(missing(1, EVENTS), Err(dropped(2)));
    assert_eq!(missing(0, TASKS), Err(dropped(1)));
    assert_eq!(missing(1, ALL), Err(dropped(2)));
    assert_eq!(values(&page(&history, 1, TASKS, 9)), [202, 401]);
    assert_eq!(values(&page(&history, 2, ALL, 9)), [300, 400, 401, 500]);
    assert_eq!((history.floor(&TASKS), history.floor(&EVENTS)), (LogIndex(2), LogIndex(2)));
}

#[test]
fn room_is_counted_as_the_events_say() {
    let size = |event: &u64| usize::try_from(event % 100).unwrap();
    let mut history =
        History::new(Ring::new(|_: &u64| 1, 9, LogIndex(0)), Ring::new(size, 60, LogIndex(0)));
    for (index, size) in [(1, 30), (2, 20), (3, 10), (4, 25)] {
        let told = [(LogIndex(index), index * 100 + size)];
        history.extend((LogIndex(index), LogIndex(index)), [], told);
    }
    assert!(history.after(LogIndex(0).into(), &TASKS, 9).is_err());
    assert_eq!(values(&page(&history, 1, TASKS, 9)), [220, 310, 425]);
    // One that is larger than all the room stays alone.
    history.extend((LogIndex(5), LogIndex(5)), [], [(LogIndex(5), 599)]);
    assert_eq!(history.floor(&TASKS), LogIndex(4));
    assert_eq!(values(&page(&history, 4, TASKS, 9)), [599]);
}

#[test]
fn an_entry_with_more_events_than_there_is_room_for_is_kept_whole() {
    let history = filled((4, 4), &[(1, 0), (0, 9)]);
    assert_eq!(page(&history, 1, TASKS, 99).events.len(), 9);
}

#[test]
fn what_the_feed_tells_again_counts_once() {
    let mut history = empty(ROOMY, LogIndex(3));
    extend(&mut history, 2, 4, (1, 1));
    extend(&mut history, 4, 4, (1, 1));
    assert_eq!(values(&page(&history, 3, ALL, 9)), [400, 401]);
}

#[test]
fn entries_that_the_feed_left_out_cost_what_came_before_them() {
    let mut history = filled(ROOMY, &[(1, 1), (1, 1)]);
    extend(&mut history, 5, 5, (1, 1));
    let missing = history.after(LogIndex(2).into(), &ALL, 10).unwrap_err();
    assert_eq!(missing, Missing { floor: LogIndex(4), cause: Cause::Unseen });
    assert_eq!(values(&page(&history, 4, ALL, 9)), [500, 501]);

    history.jump(LogIndex(9));
    assert_eq!(history.through(), LogIndex(9));
    assert!(history.after(LogIndex(8).into(), &ALL, 10).is_err());
}

#[test]
fn a_look_is_bounded_although_nothing_is_found() {
    let nothing = Wanted { every: u64::MAX, ..TASKS };
    let history = filled(ROOMY, &[(0, 60); 200]);
    let first = page(&history, 0, nothing, 9);
    assert_eq!((first.events.len(), first.is_last), (0, false));
    assert!(first.next.index() > LogIndex(100));
    let rest = history.after(first.next, &nothing, 9).unwrap();
    assert_eq!((rest.next, rest.is_last), (LogIndex(200).into(), true));
}

/// Step of one of several readers at one moment of the feed.
#[derive(Debug, Clone)]
enum Step {
    /// The feed brings entries with so many events each.
    Feed(Vec<Counts>),
    /// The reader takes a page of at most so many events.
    Read(usize),
    /// The reader's connection breaks: it resumes at another replica, which is so many entries
    /// behind at first.
    Resume(usize),
}

fn counts() -> impl Strategy<Value = Counts> {
    (0..4_usize, 0..4_usize)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        prop::collection::vec(counts(), 1..5).prop_map(Step::Feed),
        (1..6_usize).prop_map(Step::Read),
        (0..6_usize).prop_map(Step::Resume),
    ];
    prop::collection::vec(step, 1..80)
}

/// A client that remembers what it may resume from: the last index of which it has had all, and how
/// many events it has had of the one that follows.
#[derive(Debug, Default)]
struct Client {
    whole: LogIndex,
    part: usize,
    /// Events that come again after it has resumed.
    again: usize,
    seen: Vec<u64>,
}

impl Client {
    fn take(&mut self, page: &Page<u64, u64>) {
        for (told, value) in page.events.iter().zip(values(page)) {
            if self.again > 0 {
                self.again -= 1;
                continue;
            }
            self.seen.push(value);
            self.part += 1;
            if !told.more {
                (self.whole, self.part) = (told.index, 0);
            }
        }
    }

    fn resume(&mut self) -> Place {
        self.again = self.part;
        self.whole.into()
    }
}

proptest! {
    /// A client knows only the indexes of the events it got. Cut and resumed at will, on a replica
    /// that lags, it has in the end exactly the full stream.
    #[test]
    fn resumed_streams_together_are_the_full_stream(steps in steps(), every in 1..4_u64) {
        let wanted = Wanted { every, ..ALL };
        let mut fed = Vec::new();
        let mut lag = 0;
        let mut client = Client::default();
        let mut place = client.resume();
        for step in steps {
            match step {
                Step::Feed(more) => fed.extend(more),
                Step::Resume(behind) => {
                    lag = behind;
                    place = client.resume();
                }
                Step::Read(events_max) => {
                    let known = fed.len().saturating_sub(lag);
                    let page = filled(ROOMY, &fed[..known]).after(place, &wanted, events_max);
                    let page = page.unwrap();
                    client.take(&page);
                    place = page.next;
                }
            }
        }
        let history = filled(ROOMY, &fed);
        place = client.resume();
        loop {
            let page = history.after(place, &wanted, 3).unwrap();
            client.take(&page);
            place = page.next;
            if page.is_last {
                break;
            }
        }
        let full = page(&history, 0, wanted, usize::MAX);
        prop_assert_eq!(client.seen, values(&full));
    }

    /// With bounded room a reader gets all events after its place, or is told that some are
    /// missing: never a part of them in silence.
    #[test]
    fn what_is_dropped_is_told(
        counts in prop::collection::vec(counts(), 0..60),
        room in (1..20_usize, 1..20_usize),
        place in 0..60_u64,
        events_max in 1..10_usize,
    ) {
        let full = filled(ROOMY, &counts);
        let history = filled(room, &counts);
        match history.after(LogIndex(place).into(), &ALL, events_max) {
            Ok(found) => prop_assert_eq!(found, page(&full, place, ALL, events_max)),
            Err(missing) => {
                prop_assert!(LogIndex(place) < missing.floor);
                let rest = page(&history, missing.floor.0, ALL, usize::MAX);
                prop_assert_eq!(rest, page(&full, missing.floor.0, ALL, usize::MAX));
            }
        }
    }
}
