//! Schedules: created, replaced, shown, previewed, run by hand, paused, deleted.

use std::sync::Arc;

use cluster_state::{
    Command, DeleteSchedule, Fnv1a, IdempotencyKey, KnownSchedule, PauseSchedule, PutSchedule,
    Rejection, Reply, RunSchedule, Schedule, ScheduleName, SchedulePlan, State, TaskStateKind,
    Timestamp,
};
use cron::{Timetable, ZONE_DATA, Zone};
use proto::convert::NewSchedule;
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Fault, Outcome, Problem};
use raft_store::ProposeError;

use super::submission::SubmissionKey;
use super::tasks::unexpected;
use super::views::TaskStatus;
use super::{Answer, Operations, Reading};
use crate::access::{Action, Caller};
use crate::refusal;

/// Default and largest number of schedules on a page.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Default and largest number of times in a preview.
const PREVIEW_DEFAULT: usize = 5;
const PREVIEW_MAX: usize = 1_000;
/// Bytes of an answer about any schedule, beside the account of its memory.
const SCHEDULE_BYTES: usize = 512;
/// Rounds of computing the first run and proposing. Each fails only if that has come due in between.
const ROUNDS_MAX: usize = 5;

/// A schedule as a caller may see it.
#[derive(Debug)]
pub(crate) struct ShownSchedule {
    pub(crate) schedule: Arc<Schedule>,
    /// True if the caller may see the environment of its task.
    pub(crate) shows_environment: bool,
}

/// A page of schedules, by name.
#[derive(Debug)]
pub(crate) struct SchedulePage {
    pub(crate) schedules: Vec<ShownSchedule>,
    /// Name at which the page ended; none on the last.
    pub(crate) next: Option<ScheduleName>,
}

/// Nominal time of a run, and the same by the clock of its zone.
#[derive(Debug)]
pub(crate) struct NextRun {
    pub(crate) at: Timestamp,
    pub(crate) local: String,
}

impl Operations {
    /// Creates a schedule, or replaces it.
    pub(crate) async fn put_schedule(
        &self,
        new: NewSchedule,
        known: KnownSchedule,
        by: &Caller,
    ) -> Result<Answer<ShownSchedule>, Problem> {
        let NewSchedule { name, mut plan, is_paused } = new;
        let timetable = read_timetable(&mut plan)?;
        by.check_task(Action::SubmitTasks, &plan.task.labels)?;
        if known == KnownSchedule::Some {
            self.check_schedule(&name, Action::SubmitTasks, by).await?;
        }

        let mut now = self.node().clock().now();
        let mut round = 0;
        let index = loop {
            round += 1;
            let next = timetable.next_after(now.0).map(Timestamp);
            let next = Some(next.ok_or_else(|| fault("/cron", "it never comes".to_owned()))?);
            let command = Command::PutSchedule(PutSchedule {
                name: name.clone(),
                plan: plan.clone(),
                is_paused,
                next,
                zone_data: ZONE_DATA.to_owned(),
                known,
            });
            match self.node().propose(&self.ordered(command, by)).await {
                Ok(committed) => break committed.index,
                Err(ProposeError::Rejected {
                    rejection: Rejection::NotAhead { now: log_time },
                    ..
                }) if round < ROUNDS_MAX => now = log_time,
                Err(error) => return Err(refusal::of_mutation(&error)),
            }
        };
        self.reach(Reading::default()).await?;
        Ok(self.mark_at(index).on(self.known_schedule(&name, by)?))
    }

    /// Returns a schedule.
    pub(crate) async fn schedule(
        &self,
        name: &ScheduleName,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<ShownSchedule>, Problem> {
        let mark = self.reach(reading).await?;
        Ok(mark.on(self.known_schedule(name, by)?))
    }

    /// Returns one page of the schedules whose tasks the caller may know of.
    pub(crate) async fn schedules(
        &self,
        limit: Option<usize>,
        after: Option<ScheduleName>,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<SchedulePage>, Problem> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let detail = format!("limit {limit} is not between 1 and {LIMIT_MAX}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let mark = self.reach(reading).await?;
        let is_shown =
            |schedule: &Schedule| by.may_on_task(Action::ReadTasks, &schedule.plan.task.labels);
        let (schedules, next) =
            self.node().reader().with(|state| page(state, limit, after.as_ref(), is_shown));
        let schedules = schedules.into_iter().map(|schedule| shown(schedule, by)).collect();
        Ok(mark.on(SchedulePage { schedules, next }))
    }

    /// Returns the next nominal times of a schedule, whether it is paused or not.
    pub(crate) async fn next_runs(
        &self,
        name: &ScheduleName,
        count: Option<usize>,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<Vec<NextRun>>, Problem> {
        let count = count.unwrap_or(PREVIEW_DEFAULT);
        if !(1..=PREVIEW_MAX).contains(&count) {
            let detail = format!("count {count} is not between 1 and {PREVIEW_MAX}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let mark = self.reach(reading).await?;
        let ShownSchedule { schedule, .. } = self.known_schedule(name, by)?;
        let timetable = Timetable::read(&schedule.plan.cron, &schedule.plan.zone)
            .map_err(|error| Problem::new(ErrorKind::Conflict, error.to_string()))?;
        let now = self.node().clock().now();
        let runs = timetable.after(now.0).take(count).map(|at| NextRun {
            at: Timestamp(at),
            local: timetable.local_text(at).unwrap_or_default(),
        });
        Ok(mark.on(runs.collect()))
    }

    /// Starts a run at once.
    pub(crate) async fn run_schedule(
        &self,
        name: ScheduleName,
        key: Option<SubmissionKey>,
        by: &Caller,
    ) -> Result<Answer<TaskStatus>, Problem> {
        self.check_schedule(&name, Action::SubmitTasks, by).await?;
        let idempotency_key =
            key.map(|key| IdempotencyKey { key: key.into(), fingerprint: fingerprint(&name) });
        let command = Command::RunSchedule(RunSchedule { name, idempotency_key });
        let Answer { body: reply, mark } = self.order(command, by).await?;
        let Reply::Submitted { first, .. } = reply else {
            return Err(unexpected(&reply));
        };
        // The run has started, whether or not its task can be read.
        let task = match self.reach(Reading::default()).await {
            Ok(_) => self.find(first).await.ok().flatten(),
            Err(_) => None,
        };
        let state = task.map_or(TaskStateKind::Queued, |task| task.state.kind());
        Ok(mark.on(TaskStatus { id: first, state }))
    }

    /// Pauses or resumes a schedule.
    pub(crate) async fn pause_schedule(
        &self,
        name: ScheduleName,
        is_paused: bool,
        by: &Caller,
    ) -> Result<Answer<ShownSchedule>, Problem> {
        self.check_schedule(&name, Action::SubmitTasks, by).await?;
        let command = Command::PauseSchedule(PauseSchedule { name: name.clone(), is_paused });
        let mark = self.order(command, by).await?.mark;
        self.reach(Reading::default()).await?;
        Ok(mark.on(self.known_schedule(&name, by)?))
    }

    /// Deletes a schedule.
    pub(crate) async fn delete_schedule(
        &self,
        name: ScheduleName,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        self.check_schedule(&name, Action::SubmitTasks, by).await?;
        let command = Command::DeleteSchedule(DeleteSchedule { name });
        Ok(self.order(command, by).await?.map(drop))
    }

    /// Refuses what a caller may not do with a schedule whose task has other labels than the caller's.
    async fn check_schedule(
        &self,
        name: &ScheduleName,
        action: Action,
        by: &Caller,
    ) -> Result<(), Problem> {
        if by.scope().is_none() {
            return Ok(());
        }
        self.reach(Reading::default()).await?;
        let known = self.node().reader().with(|state| state.schedule(name).cloned());
        let known = known.ok_or_else(|| no_such_schedule(name))?;
        by.check_task(action, &known.plan.task.labels)
    }

    fn known_schedule(&self, name: &ScheduleName, by: &Caller) -> Result<ShownSchedule, Problem> {
        let known = self.node().reader().with(|state| state.schedule(name).cloned());
        let known = known.ok_or_else(|| no_such_schedule(name))?;
        by.check_task(Action::ReadTasks, &known.plan.task.labels)?;
        Ok(shown(known, by))
    }
}

fn shown(schedule: Arc<Schedule>, by: &Caller) -> ShownSchedule {
    let labels = &schedule.plan.task.labels;
    let shows_environment = by.may_on_task(Action::ReadEnvironment, labels);
    ShownSchedule { schedule, shows_environment }
}

fn no_such_schedule(name: &ScheduleName) -> Problem {
    Problem::new(ErrorKind::NotFound, format!("there is no schedule '{name}'"))
}

/// Reads the expression and the zone of a description, and writes the zone as the database does.
fn read_timetable(plan: &mut SchedulePlan) -> Result<Timetable, Problem> {
    let expression =
        plan.cron.parse().map_err(|error: cron::Fault| fault("/cron", error.to_string()))?;
    let zone = Zone::named(&plan.zone).map_err(|error| fault("/time_zone", error.to_string()))?;
    zone.name().clone_into(&mut plan.zone);
    Ok(Timetable::new(expression, zone))
}

fn fault(pointer: &str, detail: String) -> Problem {
    let mut problem = Problem::new(ErrorKind::InvalidValue, format!("{pointer}: {detail}"));
    problem.errors = vec![Fault { pointer: pointer.to_owned(), detail }];
    problem.with_outcome(Outcome::Rejected)
}

/// Tells orders to run different schedules apart, and from submissions.
fn fingerprint(name: &ScheduleName) -> u64 {
    let mut hash = Fnv1a::default();
    hash.write("run schedule ".bytes());
    hash.write(name.as_str().bytes());
    hash.finish()
}

fn page(
    state: &State,
    limit: usize,
    after: Option<&ScheduleName>,
    is_shown: impl Fn(&Schedule) -> bool,
) -> (Vec<Arc<Schedule>>, Option<ScheduleName>) {
    let mut budget = ByteBudget::new(BATCH_BYTES);
    let mut page = Vec::<Arc<Schedule>>::new();
    for schedule in state.schedules_after(after).filter(|schedule| is_shown(schedule)) {
        let bytes = usize::try_from(schedule.bytes()).unwrap_or(usize::MAX);
        if page.len() == limit || !budget.admits(bytes.saturating_add(SCHEDULE_BYTES)) {
            let next = page.last().map(|last| last.name.clone());
            return (page, next);
        }
        page.push(Arc::clone(schedule));
    }
    (page, None)
}
