//! Applies commands about schedules. A run and its task are one entry of the log, and no nominal time is
//! decided about twice.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Apply;
use super::task::check_spec;
use crate::{
    AdvanceSchedules, Change, IdempotencyKey, IdempotencyRecord, Key, KnownSchedule, Overlap,
    PauseSchedule, PutSchedule, Record, Rejection, Reply, RunCounts, RunOutcome, RunSchedule,
    Schedule, ScheduleName, SchedulePlan, ScheduleStep, ScheduledRun, TaskId, Timestamp,
};

impl Apply<'_> {
    /// Creates or replaces a schedule.
    pub(super) fn put_schedule(&mut self, command: PutSchedule) -> Result<Reply, Rejection> {
        let PutSchedule { name, plan, is_paused, next, zone_data, known } = command;
        let before = self.state.schedule(&name).cloned();
        match (&before, known) {
            (Some(_), KnownSchedule::None) => {
                return Err(Rejection::ScheduleExists { schedule: name.as_str().into() });
            }
            (None, KnownSchedule::Some) => return Err(unknown(&name)),
            (Some(_), KnownSchedule::Some) | (None, KnownSchedule::None) => {}
        }
        self.check_plan(&plan)?;
        // The run of a time that has passed already would start at once.
        if next.is_some_and(|next| next <= self.now) {
            return Err(Rejection::NotAhead { now: self.now });
        }

        let schedule = match before.as_deref() {
            Some(before) => {
                let mut schedule = before.clone();
                if plan.overlap != Overlap::BufferOne {
                    self.leave_out_waiting(&mut schedule);
                }
                self.note_overtaken(&mut schedule);
                Schedule { plan, is_paused, changed_at: self.now, next, zone_data, ..schedule }
            }
            None => Schedule {
                name,
                plan,
                is_paused,
                created_at: self.now,
                changed_at: self.now,
                next,
                zone_data,
                last: None,
                last_task: None,
                waiting: None,
                counts: RunCounts::default(),
                runs: VecDeque::new(),
                index: self.index,
            },
        };
        self.check_room_for_schedule(&schedule, before.as_deref())?;
        self.write_schedule(schedule);
        Ok(Reply::Done)
    }

    /// Notes the run that is due, and not decided about, when its schedule is replaced: it is missed.
    fn note_overtaken(&self, schedule: &mut Schedule) {
        let due = schedule.next.filter(|next| !schedule.is_paused && *next <= self.now);
        let Some(at) = due else { return };
        let outcome = RunOutcome::Missed { count: 1, until: at };
        let run = ScheduledRun { at, decided_at: self.now, is_manual: false, outcome };
        schedule.note(run, self.limits());
        schedule.last = Some(at);
    }

    fn check_plan(&self, plan: &SchedulePlan) -> Result<(), Rejection> {
        check_spec(&plan.task, self.limits())?;
        self.check_queues([&plan.task].into_iter())?;
        self.check_timing(0, &plan.task)?;
        if !plan.task.dependencies().is_empty() {
            return Err(Rejection::invalid("the task of a schedule waits for no others"));
        }
        if plan.task.names_points_in_time() {
            return Err(Rejection::invalid("the task of a schedule names a point in time"));
        }
        if !(Schedule::CATCH_UP_MIN..=Schedule::CATCH_UP_MAX).contains(&plan.catch_up) {
            return Err(Rejection::invalid("a catch-up window is out of bounds"));
        }
        let texts = [&plan.cron, &plan.zone];
        if texts.into_iter().any(|text| text.len() > self.limits().schedule_text_bytes_max) {
            return Err(Rejection::invalid("a cron expression or time zone is too long"));
        }
        Ok(())
    }

    fn check_room_for_schedule(
        &self,
        schedule: &Schedule,
        before: Option<&Schedule>,
    ) -> Result<(), Rejection> {
        let limits = self.limits();
        if before.is_none() && self.state.schedules().len() >= limits.schedules_max {
            return Err(Rejection::limit("schedules", limits.schedules_max));
        }
        let others = self.state.schedule_bytes() - before.map_or(0, Schedule::bytes);
        if others + schedule.bytes() > limits.schedule_bytes_max {
            let max = limits.schedule_bytes_max;
            return Err(Rejection::LimitReached { what: "bytes of schedules".into(), max });
        }
        Ok(())
    }

    /// Deletes a schedule. The tasks of its runs stay.
    pub(super) fn delete_schedule(&mut self, name: &ScheduleName) -> Result<Reply, Rejection> {
        self.known_schedule(name)?;
        self.state.remove_schedule(name);
        self.changes.push(Change::Delete(Key::Schedule(name.clone())));
        Ok(Reply::Done)
    }

    /// Pauses or resumes a schedule. Whatever has come due meanwhile is decided about afterwards.
    pub(super) fn pause_schedule(&mut self, command: &PauseSchedule) -> Result<Reply, Rejection> {
        let known = self.known_schedule(&command.name)?;
        if known.is_paused != command.is_paused {
            let schedule = Schedule::clone(&known);
            let (is_paused, changed_at) = (command.is_paused, self.now);
            self.write_schedule(Schedule { is_paused, changed_at, ..schedule });
        }
        Ok(Reply::Done)
    }

    /// Starts a run that somebody has ordered. The times of the schedule stay as they are.
    pub(super) fn run_schedule(&mut self, command: RunSchedule) -> Result<Reply, Rejection> {
        if let Some(earlier) = self.earlier_submission(command.idempotency_key.as_ref())? {
            return Ok(earlier);
        }
        let known = self.known_schedule(&command.name)?;
        if let Some(task) = self.running(&known).filter(|_| known.plan.overlap != Overlap::Allow) {
            return Err(Rejection::ScheduleBusy { schedule: known.name.as_str().into(), task });
        }
        let key = command.idempotency_key;
        let key_bytes = self.check_key_room(key.as_ref())?;
        let spec = known.task_of_run(self.now);
        self.check_queues([&spec].into_iter())?;
        self.check_tasks_room(1, spec.bytes() + key_bytes)?;

        let mut schedule = Schedule::clone(&known);
        let task = self.accept_task(spec, false);
        schedule.last_task = Some(task);
        let outcome = RunOutcome::Started { task };
        let (at, decided_at, is_manual) = (self.now, self.now, true);
        schedule.note(ScheduledRun { at, decided_at, is_manual, outcome }, self.limits());
        self.write_schedule(schedule);
        let (first, count) = (task, 1);
        if let Some(IdempotencyKey { key, fingerprint }) = key {
            self.put_key(IdempotencyRecord { key, fingerprint, first, count, at: self.now });
        }
        Ok(Reply::Submitted { first, count, repeated: false })
    }

    /// Decides about the runs that are due, and starts those that may start.
    pub(super) fn advance_schedules(
        &mut self,
        command: AdvanceSchedules,
    ) -> Result<Reply, Rejection> {
        let AdvanceSchedules { term, zone_data, steps } = command;
        self.check_term(term)?;
        let due = steps.iter().map(|step| step.due.len()).sum::<usize>();
        if due > self.limits().tasks_per_submit_max {
            return Err(Rejection::limit(
                "runs of one command",
                self.limits().tasks_per_submit_max,
            ));
        }
        let mut sum = RunCounts::default();
        for step in steps {
            let Some(known) = self.state.schedule(&step.schedule).cloned() else { continue };
            if self.fits(&known, &step) {
                let schedule = self.take_step(&known, step, &zone_data);
                sum = sum.plus(schedule.counts).minus(known.counts);
                if schedule != *known {
                    self.write_schedule(schedule);
                }
            }
        }
        Ok(Reply::Advanced(sum))
    }

    /// Returns whether a step goes on from the record, with nominal times that have come and rise. The
    /// first of them is the next one on record, so a time that was decided about is none of them.
    fn fits(&self, known: &Schedule, step: &ScheduleStep) -> bool {
        let rises = step.due.is_sorted_by(|one, next| one < next);
        let has_come = step.due.last().is_none_or(|last| *last <= self.now);
        let last = step.due.last().copied().or(known.last);
        let goes_on = step.due.first().is_none_or(|first| known.next == Some(*first));
        known.index == step.known_at
            && !known.is_paused
            && rises
            && has_come
            && goes_on
            && step.next.is_none_or(|next| last < Some(next))
    }

    fn take_step(&mut self, known: &Schedule, step: ScheduleStep, zone_data: &str) -> Schedule {
        let mut schedule = known.clone();
        if let Some(at) = schedule.waiting
            && self.running(&schedule).is_none()
        {
            let outcome = self.start_run(&mut schedule, at);
            let run = ScheduledRun { at, decided_at: self.now, is_manual: false, outcome };
            schedule.end_wait(run, self.limits());
        }
        for at in step.due {
            let outcome = self.decide_run(&mut schedule, at);
            let run = ScheduledRun { at, decided_at: self.now, is_manual: false, outcome };
            schedule.note(run, self.limits());
            schedule.last = Some(at);
        }
        schedule.next = step.next;
        zone_data.clone_into(&mut schedule.zone_data);
        schedule
    }

    fn decide_run(&mut self, schedule: &mut Schedule, at: Timestamp) -> RunOutcome {
        if self.now.since(at) > schedule.plan.catch_up {
            return RunOutcome::Missed { count: 1, until: at };
        }
        let Some(running) = self.running(schedule) else { return self.start_run(schedule, at) };
        match schedule.plan.overlap {
            Overlap::Allow => self.start_run(schedule, at),
            Overlap::BufferOne if schedule.waiting.is_none() => {
                schedule.waiting = Some(at);
                RunOutcome::Waiting
            }
            Overlap::Skip | Overlap::BufferOne => RunOutcome::Skipped { running },
        }
    }

    fn start_run(&mut self, schedule: &mut Schedule, at: Timestamp) -> RunOutcome {
        let spec = schedule.task_of_run(at);
        let room = self.check_queues([&spec].into_iter());
        if let Err(rejection) = room.and_then(|()| self.check_tasks_room(1, spec.bytes())) {
            return RunOutcome::Refused { reason: rejection.name().into() };
        }
        let task = self.accept_task(spec, false);
        schedule.last_task = Some(task);
        RunOutcome::Started { task }
    }

    /// Leaves out the run that waits.
    fn leave_out_waiting(&self, schedule: &mut Schedule) {
        let (Some(at), Some(running)) = (schedule.waiting, schedule.last_task) else { return };
        let outcome = RunOutcome::Skipped { running };
        let run = ScheduledRun { at, decided_at: self.now, is_manual: false, outcome };
        schedule.end_wait(run, self.limits());
    }

    /// Returns the task of its last run, if that is not over.
    fn running(&self, schedule: &Schedule) -> Option<TaskId> {
        schedule.last_task.filter(|task| self.state.task(*task).is_some())
    }

    fn known_schedule(&self, name: &ScheduleName) -> Result<Arc<Schedule>, Rejection> {
        self.state.schedule(name).cloned().ok_or_else(|| unknown(name))
    }

    fn write_schedule(&mut self, schedule: Schedule) {
        let schedule = Arc::new(Schedule { index: self.index, ..schedule });
        self.state.put_schedule(Arc::clone(&schedule));
        self.changes.push(Change::Put(Record::Schedule(schedule)));
    }
}

fn unknown(name: &ScheduleName) -> Rejection {
    Rejection::UnknownSchedule { schedule: name.as_str().into() }
}
