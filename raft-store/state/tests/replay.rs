//! Checks that under random proposals the invariants hold, and that the changes alone rebuild the
//! state.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster_state::{
    Applied, AttemptNumber, AttemptRef, Change, Class, Command, Epoch, FinishVerdict, JobStep, Key,
    LogIndex, Preference, Proposal, Rank, Record, Reply, Resources, Since, State, Task, TaskId,
    TaskReason, TaskStateKind, Timestamp, WorkerId, WorkerLoad,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use proposals::{Past, Step};
use reached::{NAMES, change_name, reason_name, reply_names};

#[path = "replay/proposals.rs"]
mod proposals;
#[path = "replay/reached.rs"]
mod reached;

proptest! {
    #[test]
    fn the_invariants_hold_after_every_command((start, steps) in proposals::log()) {
        let mut run = Run::from(start);
        for step in steps {
            let applied = run.step(step);

            prop_assert_eq!(run.state.check_invariants(), Ok(()), "after {:?}", run.log.last());
            prop_assert_eq!(allocated(&run.state), sums_over_live_attempts(&run.state));
            if applied.reply.is_err() {
                prop_assert!(
                    applied.changes.iter().all(is_kept_of_a_refusal),
                    "{:?} was rejected, but changed {:?}", run.log.last(), applied.changes
                );
            }
        }
    }

    #[test]
    fn the_changes_alone_rebuild_the_state((start, steps) in proposals::log()) {
        let mut run = Run::from(start);
        let mut rebuilt = restored(run.state.records());
        for step in steps {
            for change in run.step(step).changes {
                rebuilt.follow(change);
            }
            prop_assert_eq!(whole(&rebuilt), whole(&run.state), "after {:?}", run.log.last());
        }
        prop_assert_eq!(rebuilt.check_invariants(), Ok(()));
    }

    #[test]
    fn the_same_log_gives_the_same_everywhere(
        (start, steps) in proposals::log(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut run = Run::from(start);
        let mut follower = restored(run.state.records());
        let applied = steps.into_iter().map(|step| run.step(step)).collect::<Vec<_>>();
        let cut = cut.index(applied.len());
        for (position, ((index, proposal), expected)) in run.log.iter().zip(applied).enumerate() {
            // Half way, the follower starts anew from a snapshot.
            if position == cut {
                follower = restored(follower.records());
            }
            prop_assert_eq!(follower.apply(*index, proposal.clone()), expected);
        }
        prop_assert_eq!(whole(&follower), whole(&run.state));
    }

    /// A leader considers only what may have changed. Nothing that fits is left out.
    #[test]
    fn what_fits_and_did_not_is_a_candidate(steps in proposals::steps()) {
        let mut run = Run::default();
        let mut since = Since::Unknown;
        for step in steps {
            run.step(step);
            let state = &run.state;

            let mut found = Vec::new();
            for queue in state.queues_in_use() {
                let heads = state.candidates(queue, since, Rank::FIRST);
                let heads = heads.into_iter().flatten().collect::<Vec<_>>();
                let is_sorted = heads.is_sorted_by(|a, b| a.rank() < b.rank());
                prop_assert!(is_sorted, "out of order: {heads:?}");
                found.extend(heads);
            }
            let found = found.iter().map(|head| head.class()).collect::<BTreeSet<_>>();
            let fits = |class: &Arc<Class>| state.plan().place(class, Preference::Emptiest).is_some();
            // Those with one concurrency key wait for the most important of them.
            let waiting = state.queue().map(|(class, _)| class);
            let waiting = waiting.filter(|class| class.concurrency_key.is_none());
            let fitting = waiting.filter(|class| fits(class));
            let fitting = fitting.collect::<BTreeSet<_>>();
            prop_assert!(fitting.is_subset(&found), "{fitting:?} fit, but not {found:?}");

            if fitting.is_empty() {
                since = Since::Then(state.moment(run.log.last().unwrap().0));
                for queue in state.queues_in_use() {
                    let found = state.candidates(queue, since, Rank::FIRST);
                    let mut found = found.into_iter().flatten();
                    let has_free = found.any(|head| head.class().concurrency_key.is_none());
                    prop_assert!(!has_free, "{queue} was looked at");
                }
            }
        }
    }

    #[test]
    fn an_outcome_is_final(steps in proposals::steps()) {
        let mut run = Run::default();
        let mut history = History::default();
        for step in steps {
            let owners = owners(&run.state);
            let applied = run.step(step);
            let (_, proposal) = run.log.last().unwrap();
            history.record(&owners, &proposal.command, &applied)?;
        }
    }
}

/// Without this, properties of commands that never take effect would hold as well.
#[test]
fn the_proposals_reach_what_they_are_to_test() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..2_500 {
        let (start, steps) = proposals::log().new_tree(&mut runner).unwrap().current();
        let mut run = Run::from(start);
        for step in steps {
            let applied = run.step(step);
            seen.extend(applied.changes.iter().filter_map(change_name));
            seen.extend(applied.changes.iter().filter_map(reason_name));
            seen.extend(reply_names(&applied));
        }
    }

    let missing = TaskStateKind::ALL
        .map(TaskStateKind::name)
        .into_iter()
        .chain(NAMES.iter().copied())
        .filter(|name| !seen.contains(name))
        .collect::<Vec<_>>();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

/// A leader that applies what it proposes.
#[derive(Default)]
struct Run {
    state: State,
    log: Vec<(LogIndex, Proposal)>,
    past: Past,
}

impl From<Record> for Run {
    fn from(start: Record) -> Self {
        Self { state: restored(std::iter::once(start)), ..Self::default() }
    }
}

impl Run {
    fn step(&mut self, step: Step) -> Applied {
        let index = LogIndex(u64::try_from(self.log.len()).unwrap() + 1);
        let proposal = step.proposal(&self.state, &self.past);
        self.log.push((index, proposal.clone()));
        let applied = self.state.apply(index, proposal);

        self.past.index = index;
        for change in &applied.changes {
            if let Change::Put(Record::Task(task)) = change
                && task.state.is_terminal()
            {
                self.past.finished.push(Arc::clone(task));
            }
        }
        applied
    }
}

/// Outcomes of tasks so far, against which each command is checked.
#[derive(Default)]
struct History {
    ended: BTreeSet<TaskId>,
    accepted: BTreeSet<AttemptRef>,
    places: BTreeMap<AttemptRef, WorkerId>,
    newest: BTreeMap<TaskId, AttemptNumber>,
}

impl History {
    fn record(
        &mut self,
        owners: &BTreeMap<AttemptRef, (WorkerId, Epoch)>,
        command: &Command,
        applied: &Applied,
    ) -> Result<(), TestCaseError> {
        for (reported, worker, epoch) in accepted(command, applied) {
            let (owner, since) = &owners[&reported];
            prop_assert_eq!(worker, owner, "{:?} is not its own", reported);
            prop_assert!(
                epoch.is_none_or(|epoch| epoch == *since),
                "{:?} in {:?}",
                reported,
                epoch
            );
            prop_assert!(!self.ended.contains(&reported.task), "{:?} ended before", reported);
            prop_assert!(self.accepted.insert(reported), "{:?} was accepted twice", reported);
        }
        if let (Command::RetryTask(order), Ok(Reply::Retried(_))) =
            (command.itself(), &applied.reply)
        {
            prop_assert!(self.ended.remove(&order.task.id), "{} had not ended", order.task.id);
        }
        if let (Command::AdvanceJob(order), Ok(_)) = (command.itself(), &applied.reply)
            && let JobStep::Retry(batch) = &order.step
        {
            let lives = |change: &Change| match change {
                Change::Put(Record::Task(task)) => Some(task.id),
                Change::Put(_) | Change::Delete(_) => None,
            };
            for id in applied.changes.iter().filter_map(lives) {
                prop_assert!(batch.tasks.iter().any(|task| task.id == id), "{} was not named", id);
                prop_assert!(self.ended.remove(&id), "{} had not ended", id);
            }
        }
        for change in &applied.changes {
            let Change::Put(Record::Task(task)) = change else { continue };
            prop_assert!(!self.ended.contains(&task.id), "{} changed after its end", task.id);
            if task.state.is_terminal() {
                self.ended.insert(task.id);
                prop_assert!(task.live_attempt().is_none() && task.finished_at.is_some());
                prop_assert!(is_late_as_it_says(task), "{:?} was not late", task);
            }
            let Some(last) = task.last_attempt() else { continue };
            let attempt = AttemptRef { task: task.id, attempt: last.number };
            let place = self.places.entry(attempt).or_insert_with(|| last.worker.clone());
            prop_assert_eq!(&*place, &last.worker, "{:?} is in two places", attempt);
            let newest = self.newest.insert(task.id, last.number);
            prop_assert!(
                newest <= Some(last.number),
                "{} counted back to {}",
                task.id,
                last.number
            );
        }
        Ok(())
    }
}

/// Tells whether a task that ended for being late was: it had not started, or its deadline had passed.
fn is_late_as_it_says(task: &Task) -> bool {
    let is_after = |at: Option<Timestamp>| at.is_some_and(|at| task.finished_at >= Some(at));
    let course = task.course.as_deref();
    let has_started = || task.attempts.iter().any(|attempt| attempt.started_at.is_some());
    if task.reason == Some(TaskReason::QueueTimeout) {
        let start_by = course.and_then(|course| course.start_by);
        return is_after(start_by) && (task.retries() > 0 || !has_started());
    }
    let end_by = course.and_then(|course| course.end_by);
    task.reason != Some(TaskReason::Deadline) || is_after(end_by)
}

/// Returns the live attempts, each with the worker and epoch that own it.
fn owners(state: &State) -> BTreeMap<AttemptRef, (WorkerId, Epoch)> {
    let live = |task: &Arc<Task>| {
        let attempt = task.live_attempt()?;
        let owner = (attempt.worker.clone(), attempt.epoch);
        Some((AttemptRef { task: task.id, attempt: attempt.number }, owner))
    };
    state.tasks_below(None).filter_map(live).collect()
}

/// Returns the accepted results with the workers that reported them. A worker that connects reports
/// before it has an epoch.
fn accepted<'a>(
    command: &'a Command,
    applied: &Applied,
) -> Vec<(AttemptRef, &'a WorkerId, Option<Epoch>)> {
    let (worker, epoch, reported, verdicts) = match (command, &applied.reply) {
        (Command::FinishAttempts(command), Ok(Reply::Finished(verdicts))) => {
            (&command.worker, Some(command.epoch), &command.attempts, verdicts)
        }
        (Command::ConnectWorker(command), Ok(Reply::Connected(resume))) => {
            (&command.worker, None, &command.finished, &resume.finished)
        }
        _ => return Vec::new(),
    };
    assert_eq!(reported.len(), verdicts.len(), "each result has its verdict");
    reported
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| **verdict == FinishVerdict::Accepted)
        .map(|(finished, _)| (finished.attempt, worker, epoch))
        .collect()
}

/// Tells whether a change may come with a refusal: log time has moved on, and the trail tells of it.
const fn is_kept_of_a_refusal(change: &Change) -> bool {
    matches!(
        change,
        Change::Put(Record::Meta(_) | Record::Audit(_)) | Change::Delete(Key::Audit(_))
    )
}

/// Returns everything that a state holds, indexes included.
fn whole(state: &State) -> String {
    format!("{state:?}")
}

fn restored(records: impl Iterator<Item = Record>) -> State {
    let mut state = State::new();
    records.for_each(|record| state.restore(record));
    state
}

fn allocated(state: &State) -> BTreeMap<WorkerId, [Resources; 2]> {
    let sums = |load: &WorkerLoad| [load.allocated.clone(), load.wanted.clone()];
    state.loads().map(|(id, load)| (id.clone(), sums(load))).collect()
}

/// Returns the same sums without the help of any index.
fn sums_over_live_attempts(state: &State) -> BTreeMap<WorkerId, [Resources; 2]> {
    let mut sums = BTreeMap::<WorkerId, [Resources; 2]>::new();
    for task in state.tasks_below(None) {
        let asked = &task.spec.class.resources;
        for attempt in task.attempts.iter().filter(|attempt| attempt.outcome.is_none()) {
            let [allocated, wanted] = sums.entry(attempt.worker.clone()).or_default();
            let sum = if task.ahead.is_some() { wanted } else { allocated };
            sum.cpu_milli += asked.cpu_milli;
            sum.memory_mib += asked.memory_mib;
            sum.storage_mib += asked.storage_mib;
            sum.gpu += asked.gpu;
            sum.slots += asked.slots;
            for (kind, amount) in asked.custom.iter().filter(|(_, amount)| **amount > 0) {
                *sum.custom.entry(kind.clone()).or_default() += amount;
            }
        }
    }
    sums
}
