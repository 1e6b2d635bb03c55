//! Readers see every event once, in order, wherever they begin and however they are cut.

use proptest::prelude::*;

use super::*;

/// Entries as a ring is given them: how many events each index has, and where batches end.
fn filled(capacity: usize, counts: &[usize]) -> Ring<u64> {
    let mut ring = Ring::new(capacity, LogIndex(0));
    for (index, count) in (1_u64..).zip(counts) {
        let events = (0..*count).map(|number| (LogIndex(index), event(index, number)));
        ring.extend(LogIndex(index), LogIndex(index), events);
    }
    ring
}

fn event(index: u64, number: usize) -> u64 {
    index * 1_000 + u64::try_from(number).unwrap()
}

fn indexes(page: &Page<u64>) -> Vec<u64> {
    page.events.iter().map(|(index, _)| index.0).collect()
}

#[test]
fn a_reader_gets_what_comes_strictly_after_its_place() {
    let ring = filled(100, &[1, 2, 0, 1]);
    let page = ring.after(LogIndex(1), 10).unwrap();
    assert_eq!(indexes(&page), [2, 2, 4]);
    assert_eq!((page.next, page.is_last), (LogIndex(4), true));
    assert_eq!(ring.after(page.next, 10).unwrap().events, []);
}

#[test]
fn a_page_never_ends_between_events_of_one_index() {
    let ring = filled(100, &[1, 3, 1]);
    let page = ring.after(LogIndex(0), 2).unwrap();
    assert_eq!(indexes(&page), [1, 2, 2, 2]);
    assert_eq!((page.next, page.is_last), (LogIndex(2), false));
}

#[test]
fn a_place_that_the_log_has_not_reached_is_waited_for() {
    let mut ring = filled(100, &[1, 1]);
    let page = ring.after(LogIndex(5), 10).unwrap();
    assert_eq!((page.events.len(), page.next), (0, LogIndex(5)));
    ring.extend(LogIndex(3), LogIndex(6), (3..=6).map(|index| (LogIndex(index), event(index, 0))));
    assert_eq!(indexes(&ring.after(page.next, 10).unwrap()), [6]);
}

#[test]
fn a_place_before_the_start_of_the_process_is_missing() {
    let ring = Ring::<u64>::new(100, LogIndex(7));
    assert_eq!(ring.after(LogIndex(7), 10).unwrap().events, []);
    let missing = ring.after(LogIndex(6), 10).unwrap_err();
    assert_eq!(missing, Missing { floor: LogIndex(7), cause: Cause::Unseen });
}

#[test]
fn the_oldest_indexes_make_room_as_a_whole() {
    let ring = filled(4, &[1, 2, 1, 1, 1]);
    let missing = ring.after(LogIndex(1), 10).unwrap_err();
    assert_eq!(missing, Missing { floor: LogIndex(2), cause: Cause::Dropped });
    assert_eq!(indexes(&ring.after(LogIndex(2), 10).unwrap()), [3, 4, 5]);
}

#[test]
fn an_entry_with_more_events_than_there_is_room_for_is_kept_whole() {
    let ring = filled(4, &[1, 9]);
    assert!(ring.after(LogIndex(0), 10).is_err());
    assert_eq!(ring.after(LogIndex(1), 1).unwrap().events.len(), 9);
}

#[test]
fn what_the_feed_tells_again_counts_once() {
    let mut ring = Ring::new(100, LogIndex(3));
    ring.extend(LogIndex(2), LogIndex(4), (2..=4).map(|index| (LogIndex(index), event(index, 0))));
    ring.extend(LogIndex(4), LogIndex(4), [(LogIndex(4), event(4, 0))]);
    assert_eq!(indexes(&ring.after(LogIndex(3), 10).unwrap()), [4]);
}

#[test]
fn entries_that_the_feed_left_out_cost_what_came_before_them() {
    let mut ring = filled(100, &[1, 1]);
    ring.extend(LogIndex(5), LogIndex(5), [(LogIndex(5), event(5, 0))]);
    let missing = ring.after(LogIndex(2), 10).unwrap_err();
    assert_eq!(missing, Missing { floor: LogIndex(4), cause: Cause::Unseen });
    assert_eq!(indexes(&ring.after(LogIndex(4), 10).unwrap()), [5]);

    ring.jump(LogIndex(9));
    assert_eq!(ring.through(), LogIndex(9));
    assert!(ring.after(LogIndex(8), 10).is_err());
}

/// Step of one of several readers at one moment of the feed.
#[derive(Debug, Clone)]
enum Step {
    /// The feed brings entries with so many events each.
    Feed(Vec<usize>),
    /// The reader takes a page of about so many events.
    Read(usize),
    /// The reader's connection breaks: it resumes at another replica, which is so many entries
    /// behind at first and has other batches.
    Resume(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        prop::collection::vec(0..4_usize, 1..5).prop_map(Step::Feed),
        (1..6_usize).prop_map(Step::Read),
        (0..6_usize).prop_map(Step::Resume),
    ];
    prop::collection::vec(step, 1..80)
}

/// Appends a page and returns the index from which a client would resume.
fn take(ring: &Ring<u64>, from: LogIndex, wanted: usize, seen: &mut Vec<u64>) -> LogIndex {
    let page = ring.after(from, wanted).unwrap();
    seen.extend(page.events.iter().map(|(_, event)| *event));
    page.events.last().map_or(from, |(index, _)| *index)
}

proptest! {
    /// A client knows only the indexes of the events it got. Cut and resumed at will, on a replica
    /// that lags, it has in the end exactly the full stream.
    #[test]
    fn resumed_streams_together_are_the_full_stream(steps in steps()) {
        let mut counts = Vec::new();
        let mut lag = 0;
        let (mut last_index, mut seen) = (LogIndex(0), Vec::new());
        for step in steps {
            match step {
                Step::Feed(more) => counts.extend(more),
                Step::Resume(behind) => lag = behind,
                Step::Read(wanted) => {
                    let known = counts.len().saturating_sub(lag);
                    let ring = filled(usize::MAX, &counts[..known]);
                    last_index = take(&ring, last_index, wanted, &mut seen);
                }
            }
        }
        let ring = filled(usize::MAX, &counts);
        while !ring.after(last_index, 3).unwrap().events.is_empty() {
            last_index = take(&ring, last_index, 3, &mut seen);
        }
        let mut full = Vec::new();
        take(&ring, LogIndex(0), usize::MAX, &mut full);
        prop_assert_eq!(seen, full);
    }

    /// With bounded room a reader gets all events after its place, or is told that some are
    /// missing: never a part of them in silence.
    #[test]
    fn what_is_dropped_is_told(
        counts in prop::collection::vec(0..4_usize, 0..60),
        capacity in 1..20_usize,
        place in 0..60_u64,
        wanted in 1..10_usize,
    ) {
        let full = filled(usize::MAX, &counts);
        let ring = filled(capacity, &counts);
        match ring.after(LogIndex(place), wanted) {
            Ok(page) => prop_assert_eq!(page, full.after(LogIndex(place), wanted).unwrap()),
            Err(missing) => {
                prop_assert!(LogIndex(place) < missing.floor);
                let rest = ring.after(missing.floor, usize::MAX).unwrap();
                prop_assert_eq!(rest, full.after(missing.floor, usize::MAX).unwrap());
            }
        }
    }
}
