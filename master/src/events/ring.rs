//! The latest replicated events in order of the log, for readers that each keep their own place.
//! Pure.
//!
//! **Invariant:** every event with an index above `floor`, up to `through`, is held; events of one
//! index are dropped and read together, so that no place in the stream lies between them.

use std::collections::VecDeque;

use cluster_state::LogIndex;

/// Events of the latest entries, each with the index of its entry.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    events: VecDeque<(LogIndex, T)>,
    capacity: usize,
    /// Up to here nothing is held.
    floor: LogIndex,
    /// Up to here everything has been seen.
    through: LogIndex,
    /// Floor of the last jump: events below it were never in the ring.
    jumped_to: LogIndex,
}

/// The next events for one reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// Events in order; the events of one index are complete.
    pub(crate) events: Vec<(LogIndex, T)>,
    /// The reader's place after them.
    pub(crate) next: LogIndex,
    /// True if there are no more at the moment.
    pub(crate) is_last: bool,
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
    pub(crate) const fn new(capacity: usize, applied: LogIndex) -> Self {
        let events = VecDeque::new();
        Self { events, capacity, floor: applied, through: applied, jumped_to: applied }
    }

    /// Returns the index up to which everything has been seen: from there a reader gets only what
    /// is new.
    pub(crate) const fn through(&self) -> LogIndex {
        self.through
    }

    /// Returns the index after which everything is held.
    pub(crate) const fn floor(&self) -> LogIndex {
        self.floor
    }

    /// Adds the events of the entries `from` to `to`, in order. Events that were seen before are
    /// left out; entries that are missing in between cost everything up to them.
    pub(crate) fn extend(
        &mut self,
        from: LogIndex,
        to: LogIndex,
        events: impl IntoIterator<Item = (LogIndex, T)>,
    ) {
        if from > self.through.next() {
            self.jump(LogIndex(from.0.saturating_sub(1)));
        }
        let seen = self.through;
        self.events.extend(events.into_iter().filter(|(index, _)| *index > seen));
        self.through = self.through.max(to);
        self.drop_oldest();
    }

    /// Empties the ring after the state was replaced by that of a later index: the events before it
    /// are not known.
    pub(crate) fn jump(&mut self, applied: LogIndex) {
        self.events.clear();
        self.floor = applied;
        self.through = applied;
        self.jumped_to = applied;
    }

    /// Drops the oldest events, whole indexes at a time. The newest index stays however many events
    /// it has.
    fn drop_oldest(&mut self) {
        while self.events.len() > self.capacity {
            let (Some((oldest, _)), Some((newest, _))) = (self.events.front(), self.events.back())
            else {
                return;
            };
            let oldest = *oldest;
            if oldest == *newest {
                return;
            }
            let count = self.events.partition_point(|(index, _)| *index <= oldest);
            self.events.drain(..count);
            self.floor = oldest;
        }
    }
}

impl<T: Clone> Ring<T> {
    /// The events after `place`, about `wanted` of them. A place that the log has not reached here
    /// yet is waited for: nothing is missing.
    pub(crate) fn after(&self, place: LogIndex, wanted: usize) -> Result<Page<T>, Missing> {
        if place < self.floor {
            let cause = if place < self.jumped_to { Cause::Unseen } else { Cause::Dropped };
            return Err(Missing { floor: self.floor, cause });
        }
        let start = self.events.partition_point(|(index, _)| *index <= place);
        let last = self.events.iter().skip(start).nth(wanted.saturating_sub(1));
        let end = match last {
            Some((last, _)) => self.events.partition_point(|(index, _)| index <= last),
            None => self.events.len(),
        };
        let is_last = end == self.events.len();
        let events: Vec<_> = self.events.range(start..end).cloned().collect();
        let next = match events.last() {
            Some((index, _)) if !is_last => *index,
            Some(_) | None => place.max(self.through),
        };
        Ok(Page { events, next, is_last })
    }
}

#[cfg(test)]
mod tests;
