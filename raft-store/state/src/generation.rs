//! A new generation of a cluster begins: nothing that an earlier one may have handed out after the
//! position from which it continues is ever handed out again.

use crate::{
    Ahead, AttemptNumber, AttemptRef, Departed, Epoch, Generation, Level, Meta, Record, State,
    Task, TaskId, TaskState, Timestamp, Worker,
};

/// Ids of tasks that each generation has to itself. At ten thousand submissions a second they last
/// for three years.
const TASKS_PER_GENERATION: u64 = 1_000_000_000_000;
/// Ids of a generation that are left free at its end, for the tasks that were submitted after the
/// position from which the next one continues.
const TASKS_SPARE: u64 = TASKS_PER_GENERATION / 10;
/// Numbers of attempts of one task in each generation. An attempt takes a commit at the least, so a
/// task that is queued again and again has a hundred a second.
const ATTEMPTS_PER_GENERATION: u32 = 1_000_000;
/// Registrations of one worker in each generation, far beyond one a millisecond for a week.
const EPOCHS_PER_GENERATION: u64 = 1_000_000_000;

impl Generation {
    /// Level that a cluster has in every generation but the first.
    pub(crate) const LEVEL: Level = Level(2);

    /// Returns the generation after this one in a cluster that would give `next_task` next.
    #[must_use]
    pub fn following(self, next_task: TaskId, id: u64) -> Self {
        let beyond = next_task.0.saturating_add(TASKS_SPARE) / TASKS_PER_GENERATION + 1;
        let beyond = u32::try_from(beyond).unwrap_or(u32::MAX);
        Self { number: self.number.saturating_add(1).max(beyond), id }
    }

    /// Returns the number of generations from `earlier` to this one. A backup may have been restored
    /// before: each of those lives has given out its own.
    #[must_use]
    pub fn after(self, earlier: Self) -> u64 {
        self.number.saturating_sub(earlier.number).into()
    }

    /// Returns the id of its first task. All smaller ones are of earlier generations.
    #[must_use]
    pub const fn first_task(self) -> TaskId {
        if self.number == 0 {
            return TaskId(1);
        }
        // A widening conversion.
        TaskId((self.number as u64).saturating_mul(TASKS_PER_GENERATION))
    }

    /// Returns the number of a task's next attempt: that of an earlier generation may have had
    /// attempts that this one does not know.
    #[must_use]
    pub fn next_attempt(self, task: &Task) -> AttemptNumber {
        let next = task.next_attempt_number();
        if task.id >= self.first_task() {
            return next;
        }
        next.max(self.first_attempt())
    }

    /// Returns the number of its first attempt of a task that is older. All smaller ones are of
    /// earlier generations.
    const fn first_attempt(self) -> AttemptNumber {
        AttemptNumber(self.number.saturating_mul(ATTEMPTS_PER_GENERATION).saturating_add(1))
    }
}

impl Meta {
    /// Returns the counters with which the next generation begins.
    #[must_use]
    pub fn in_generation(self, generation: Generation) -> Self {
        Self {
            next_task: generation.first_task(),
            epochs_used: beyond(self.epochs_used, generation.after(self.generation)),
            level: self.level.max(Generation::LEVEL),
            generation,
            continued_at: self.next_task,
            ..self
        }
    }
}

impl State {
    /// Returns whether an earlier generation began the attempt after the position from which this one
    /// continues. A task that was known and is not live has ended, and counts as one of which nothing
    /// is lost: its record is on disk only, where `apply` may not look. So a result is not kept if the
    /// task had ended before that position and was retried after it.
    pub(crate) fn has_lost(&self, attempt: AttemptRef) -> bool {
        let Meta { generation, continued_at, level, .. } = *self.meta();
        if generation.number == 0 || level < Generation::LEVEL {
            return false;
        }
        if attempt.task >= generation.first_task() {
            return false;
        }
        self.task(attempt.task).map_or(attempt.task >= continued_at, |task| {
            let is_earlier = attempt.attempt < generation.first_attempt();
            is_earlier && !task.has_known(attempt.attempt, self.limits())
        })
    }
}

impl Record {
    /// Returns the record as `generation` knows it, if that differs. `before` are the counters from
    /// which that continues.
    #[must_use]
    pub fn in_generation(&self, generation: Generation, before: &Meta) -> Option<Self> {
        let generations = generation.after(before.generation);
        match self {
            Self::Meta(meta) => Some(Self::Meta(meta.in_generation(generation))),
            Self::Worker(worker) => Some(Self::Worker(next_worker(worker, generations).into())),
            Self::Departed(departed) => {
                let worker = next_worker(&departed.worker, generations).into();
                Some(Self::Departed(Departed { worker, ..departed.clone() }))
            }
            Self::Task(task) => {
                let task = next_task(task, before.now, generations)?;
                Some(Self::Task(task.into()))
            }
            Self::Leader(_)
            | Self::IdempotencyKey(_)
            | Self::Orphan(_)
            | Self::Audit(_)
            | Self::Issuer(_)
            | Self::Holder(_)
            | Self::Job(_)
            | Self::Queue(_)
            | Self::Cascade(_)
            | Self::Token(_)
            | Self::MassLoss(_)
            | Self::UserToken(_)
            | Self::Schedule(_)
            | Self::Settings(_) => None,
        }
    }
}

/// Returns the worker as a later generation knows it: it has to register again.
fn next_worker(worker: &Worker, generations: u64) -> Worker {
    Worker { epoch: beyond(worker.epoch, generations), ..worker.clone() }
}

/// Returns the task as a later generation knows it. A live attempt may have begun, and ended,
/// although the state does not say so: its worker must not be told to begin it again.
fn next_task(task: &Task, now: Timestamp, generations: u64) -> Option<Task> {
    task.live_attempt()?;
    let mut task = task.clone();
    if task.ahead.is_some() {
        // An attempt that waits is beside the worker's total: it counts once the worker says that it runs.
        task.ahead = Some(Ahead::Told);
    } else {
        if task.state == TaskState::Assigned {
            task.state = TaskState::Running;
        }
        task.note_start(now);
    }
    let attempt = task.attempts.last_mut()?;
    attempt.epoch = beyond(attempt.epoch, generations);
    Some(task)
}

const fn beyond(epoch: Epoch, generations: u64) -> Epoch {
    Epoch(epoch.0.saturating_add(EPOCHS_PER_GENERATION.saturating_mul(generations)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_has_ids_of_its_own_however_many_the_one_before_has_given_out() {
        let mut generation = Generation::default();
        let mut next_task = TaskId(1);
        for given in
            [0, 7, TASKS_PER_GENERATION - 1, TASKS_PER_GENERATION, 3 * TASKS_PER_GENERATION]
        {
            next_task = TaskId(next_task.0 + given);
            let following = generation.following(next_task, 5);
            assert!(following.number > generation.number);
            assert!(following.first_task().0 >= next_task.0 + TASKS_SPARE, "after {next_task}");
            (generation, next_task) = (following, following.first_task());
        }
        assert_eq!(Generation::default().following(TaskId(1), 9), Generation { number: 1, id: 9 });
        assert_eq!(Generation::default().first_task(), TaskId(1));
    }
}
