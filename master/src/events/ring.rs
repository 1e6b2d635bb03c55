//! The latest events of one kind in order of the log. Pure.
//!
//! **Invariant:** every event with an index above `floor`, up to `through`, is held; events of one
//! index are added and dropped together.

use std::collections::{VecDeque, vec_deque};

use cluster_state::LogIndex;

/// Events of the latest entries, each with the index of its entry.
#[derive(Debug)]
pub(super) struct Ring<T> {
    events: VecDeque<(LogIndex, T)>,
    /// Room that an event takes, in the unit of the capacity.
    size: fn(&T) -> usize,
    capacity: usize,
    /// Room that all events take.
    held: usize,
    /// Up to here nothing is held.
    floor: LogIndex,
    /// Up to here everything has been seen.
    through: LogIndex,
    /// Floor of the last jump: events below it were never in the ring.
    jumped_to: LogIndex,
}

/// The events after a reader's position are not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Everything after this place is held.
    pub(crate) floor: LogIndex,
    pub(crate) cause: Cause,
}

/// Reason that events are not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// They were held until newer ones needed the room.
    Dropped,
    /// This master never saw them one by one: it had started later, or took over a snapshot.
    Unseen,
}

impl<T> Ring<T> {
    /// Creates an empty ring of a master that has applied the log up to `applied`.
    pub(super) const fn new(size: fn(&T) -> usize, capacity: usize, applied: LogIndex) -> Self {
        Self {
            events: VecDeque::new(),
            size,
            capacity,
            held: 0,
            floor: applied,
            through: applied,
            jumped_to: applied,
        }
    }

    /// Returns the index up to which everything has been seen: from there a reader gets only what
    /// is new.
    pub(super) const fn through(&self) -> LogIndex {
        self.through
    }

    /// Returns the index after which everything is held.
    pub(super) const fn floor(&self) -> LogIndex {
        self.floor
    }

    /// Adds the events of the entries `from` to `to`, in order. Events that were seen before are
    /// left out; entries that are missing in between cost everything up to them.
    pub(super) fn extend(
        &mut self,
        from: LogIndex,
        to: LogIndex,
        events: impl IntoIterator<Item = (LogIndex, T)>,
    ) {
        if from > self.through.next() {
            self.jump(LogIndex(from.0.saturating_sub(1)));
        }
        let seen = self.through;
        for (index, event) in events.into_iter().filter(|(index, _)| *index > seen) {
            let size = (self.size)(&event);
            self.make_room(index, size);
            self.held = self.held.saturating_add(size);
            self.events.push_back((index, event));
        }
        self.through = self.through.max(to);
    }

    /// Empties the ring after the state was replaced by that of a later index: the events before it
    /// are not known.
    pub(super) fn jump(&mut self, applied: LogIndex) {
        self.events.clear();
        self.held = 0;
        self.floor = applied;
        self.through = applied;
        self.jumped_to = applied;
    }

    /// Drops the oldest events, whole indexes at a time. The newest index stays however many events
    /// it has.
    fn make_room(&mut self, newest: LogIndex, size: usize) {
        while self.held.saturating_add(size) > self.capacity {
            let Some(oldest) = self.events.front().map(|(index, _)| *index) else { return };
            if oldest == newest {
                return;
            }
            while let Some((_, event)) = self.events.pop_front_if(|(index, _)| *index == oldest) {
                self.held = self.held.saturating_sub((self.size)(&event));
            }
            self.floor = oldest;
        }
    }

    /// Returns the events after a place, without the first `part` of them. A place that the log has
    /// not reached here yet has none: nothing is missing.
    pub(super) fn after(
        &self,
        place: LogIndex,
        part: usize,
    ) -> Result<vec_deque::Iter<'_, (LogIndex, T)>, Missing> {
        if place < self.floor {
            let cause = if place < self.jumped_to { Cause::Unseen } else { Cause::Dropped };
            return Err(Missing { floor: self.floor, cause });
        }
        let start = self.events.partition_point(|(index, _)| *index <= place);
        let start = start.saturating_add(part).min(self.events.len());
        Ok(self.events.range(start..))
    }
}
