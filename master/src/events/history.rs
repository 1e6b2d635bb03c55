//! The latest replicated events for readers that each keep their own place. Events of tasks come by
//! the ten thousand a second and have a ring of their own, so that they push out no others; readers
//! see both rings as one stream in the order of the log. Pure.

use std::iter::Peekable;

use cluster_state::LogIndex;

use super::ring::{Cause, Missing, Ring};

/// Events that a reader looks at in one go: nothing is added meanwhile.
const LOOK_MAX: usize = 8_192;

/// Events of both rings. Those of an entry are in both at the same time, or in neither.
#[derive(Debug)]
pub(super) struct History<E, T> {
    events: Ring<E>,
    tasks: Ring<T>,
}

/// An event of either ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact<E, T> {
    /// An event of workers or the cluster.
    Event(E),
    /// An event of a task.
    Task(T),
}

/// Selection of events.
pub(crate) trait Select<E, T> {
    /// Returns true if it may select events of workers or the cluster.
    fn reads_events(&self) -> bool;
    /// Returns true if it may select events of tasks.
    fn reads_tasks(&self) -> bool;
    /// Returns true if it selects this event.
    fn takes_event(&self, event: &E) -> bool;
    /// Returns true if it selects this event of a task.
    fn takes_task(&self, task: &T) -> bool;
}

/// Place of one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Everything up to here is read.
    index: LogIndex,
    /// Events after it that are read, too, of each ring: a part of the next entry that has any.
    events: usize,
    tasks: usize,
}

impl From<LogIndex> for Place {
    fn from(index: LogIndex) -> Self {
        Self { index, events: 0, tasks: 0 }
    }
}

impl Place {
    /// Returns the index up to which everything is read: whoever resumes there misses nothing.
    pub(crate) const fn index(self) -> LogIndex {
        self.index
    }

    /// Returns true if nothing after its index is read.
    pub(crate) const fn is_whole(self) -> bool {
        self.events == 0 && self.tasks == 0
    }
}

/// A selected event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told<E, T> {
    pub(crate) index: LogIndex,
    pub(crate) fact: Fact<E, T>,
    /// The same entry brought another selected event, which follows.
    pub(crate) more: bool,
}

/// The next events for one reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<E, T> {
    /// Events in order.
    pub(crate) events: Vec<Told<E, T>>,
    /// The reader's place after them.
    pub(crate) next: Place,
    /// True if there are no more at the moment.
    pub(crate) is_last: bool,
}

impl<E, T> History<E, T> {
    pub(super) const fn new(events: Ring<E>, tasks: Ring<T>) -> Self {
        Self { events, tasks }
    }

    /// Returns the index up to which everything has been seen.
    pub(super) const fn through(&self) -> LogIndex {
        self.events.through()
    }

    /// Returns the index after which everything that a selection may want is held.
    pub(super) fn floor(&self, wanted: &impl Select<E, T>) -> LogIndex {
        let floor = self.events.floor();
        if wanted.reads_tasks() { floor.max(self.tasks.floor()) } else { floor }
    }

    /// Adds the events of the entries `from` to `to`, in order.
    pub(super) fn extend(
        &mut self,
        (from, to): (LogIndex, LogIndex),
        events: impl IntoIterator<Item = (LogIndex, E)>,
        tasks: impl IntoIterator<Item = (LogIndex, T)>,
    ) {
        self.events.extend(from, to, events);
        self.tasks.extend(from, to, tasks);
    }

    /// Empties both rings after the state was replaced by that of a later index.
    pub(super) fn jump(&mut self, applied: LogIndex) {
        self.events.jump(applied);
        self.tasks.jump(applied);
    }
}

impl<E: Clone, T: Clone> History<E, T> {
    /// Returns the next selected events after a place, at most so many. A place that the log has not
    /// reached here yet is waited for: nothing is missing.
    pub(super) fn after(
        &self,
        place: Place,
        wanted: &impl Select<E, T>,
        events_max: usize,
    ) -> Result<Page<E, T>, Missing> {
        let events = wanted.reads_events().then(|| self.events.after(place.index, place.events));
        let tasks = wanted.reads_tasks().then(|| self.tasks.after(place.index, place.tasks));
        let (events, tasks) = match (events.transpose(), tasks.transpose()) {
            (Ok(events), Ok(tasks)) => (events, tasks),
            (Err(one), Err(other)) => return Err(either(one, other)),
            (Err(missing), Ok(_)) | (Ok(_), Err(missing)) => return Err(missing),
        };

        let mut rest = Merged {
            events: events.into_iter().flatten().peekable(),
            tasks: tasks.into_iter().flatten().peekable(),
        };
        let mut page = Page { events: Vec::new(), next: place, is_last: false };
        let mut current = None;
        for _ in 0..LOOK_MAX {
            let Some(index) = rest.index() else {
                page.next = place.index.max(self.through()).into();
                page.is_last = true;
                return Ok(page);
            };
            if let Some(last) = current.filter(|last| *last != index) {
                page.next = Place::from(last);
            }
            current = Some(index);
            if page.events.len() >= events_max {
                break;
            }
            let Some(fact) = rest.next() else { break };
            match fact {
                Fact::Event(_) => page.next.events = page.next.events.saturating_add(1),
                Fact::Task(_) => page.next.tasks = page.next.tasks.saturating_add(1),
            }
            if takes(wanted, &fact) {
                if let Some(before) = page.events.last_mut() {
                    before.more = before.index == index;
                }
                page.events.push(Told { index, fact: fact.cloned(), more: false });
            }
        }
        if let Some(last) = page.events.last_mut() {
            last.more = rest.has_another_of(last.index, wanted);
        }
        Ok(page)
    }
}

/// Joins what two rings miss.
fn either(one: Missing, other: Missing) -> Missing {
    let is_unseen = one.cause == Cause::Unseen || other.cause == Cause::Unseen;
    let cause = if is_unseen { Cause::Unseen } else { Cause::Dropped };
    Missing { floor: one.floor.max(other.floor), cause }
}

fn takes<E, T>(wanted: &impl Select<E, T>, fact: &Fact<&E, &T>) -> bool {
    match fact {
        Fact::Event(event) => wanted.takes_event(event),
        Fact::Task(task) => wanted.takes_task(task),
    }
}

impl<E: Clone, T: Clone> Fact<&E, &T> {
    fn cloned(&self) -> Fact<E, T> {
        match *self {
            Fact::Event(event) => Fact::Event(event.clone()),
            Fact::Task(task) => Fact::Task(task.clone()),
        }
    }
}

/// Two streams in the order of the log. Of one entry the events of workers and the cluster come first.
struct Merged<A: Iterator, B: Iterator> {
    events: Peekable<A>,
    tasks: Peekable<B>,
}

impl<'a, E: 'a, T: 'a, A, B> Merged<A, B>
where
    A: Iterator<Item = &'a (LogIndex, E)>,
    B: Iterator<Item = &'a (LogIndex, T)>,
{
    /// Returns the index of the next event.
    fn index(&mut self) -> Option<LogIndex> {
        let event = self.events.peek().map(|(index, _)| *index);
        let task = self.tasks.peek().map(|(index, _)| *index);
        event.into_iter().chain(task).min()
    }

    fn next(&mut self) -> Option<Fact<&'a E, &'a T>> {
        let index = self.index()?;
        if let Some((_, event)) = self.events.next_if(|(at, _)| *at == index) {
            return Some(Fact::Event(event));
        }
        self.tasks.next().map(|(_, task)| Fact::Task(task))
    }

    /// Returns true if a selected event of that entry is to come. Ends the stream.
    fn has_another_of(&mut self, index: LogIndex, wanted: &impl Select<E, T>) -> bool {
        while self.index() == Some(index) {
            if self.next().is_some_and(|fact| takes(wanted, &fact)) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
