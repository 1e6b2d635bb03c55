//! Reads commands about schedules, and writes schedules as they stand in a script.

use std::fmt::Write as _;
use std::time::Duration;

use cluster_state::{
    AdvanceSchedules, Command, DeleteSchedule, IdempotencyKey, KnownSchedule, LogIndex, Overlap,
    PauseSchedule, PutSchedule, RunOutcome, RunSchedule, Schedule, ScheduleName, SchedulePlan,
    ScheduleStep, ScheduledRun, SubmitTasks,
};

use super::Arguments;
use super::words::{duration, parsed, timestamp};

impl Arguments<'_> {
    pub(super) fn schedules(&mut self, verb: &str) -> Command {
        let name: ScheduleName = parsed(self.next());
        match verb {
            "unschedule" => Command::DeleteSchedule(DeleteSchedule { name }),
            "pause" => Command::PauseSchedule(PauseSchedule { name, is_paused: true }),
            "resume" => Command::PauseSchedule(PauseSchedule { name, is_paused: false }),
            "run" => {
                let fingerprint = self.number("body", 0);
                let key = self.named.remove("key");
                let idempotency_key =
                    key.map(|key| IdempotencyKey { key: key.into(), fingerprint });
                Command::RunSchedule(RunSchedule { name, idempotency_key })
            }
            "advance" => {
                let known = self.schedules.iter().find(|known| known.name == name);
                let index = known.map_or(0, |known| known.index.0);
                let known_at = LogIndex(self.number("known", index));
                let due = self.list("due", timestamp);
                let next = self.named.remove("next").map(timestamp);
                let steps = vec![ScheduleStep { schedule: name, known_at, due, next }];
                let (term, zone_data) = (self.term(), "2026a".to_owned());
                Command::AdvanceSchedules(AdvanceSchedules { term, zone_data, steps })
            }
            other => self.put_schedule(other, name),
        }
    }

    fn put_schedule(&mut self, verb: &str, name: ScheduleName) -> Command {
        let overlap = match self.named.remove("overlap") {
            None | Some("skip") => Overlap::Skip,
            Some("buffer_one") => Overlap::BufferOne,
            Some("allow") => Overlap::Allow,
            Some(other) => panic!("no such policy: {other}"),
        };
        let next = self.named.remove("next").map(timestamp);
        let catch_up = self.named.remove("window").map_or(Duration::from_secs(60), duration);
        let Command::SubmitTasks(SubmitTasks { mut tasks, .. }) = self.submit() else {
            unreachable!("a submission is read")
        };
        let task = tasks.pop().unwrap();
        let (cron, zone) = ("* * * * *".to_owned(), "UTC".to_owned());
        let plan = SchedulePlan { cron, zone, overlap, catch_up, task };
        let zone_data = "2026a".to_owned();
        let known = if verb == "reschedule" { KnownSchedule::Some } else { KnownSchedule::None };
        let is_paused = false;
        Command::PutSchedule(PutSchedule { name, plan, is_paused, next, zone_data, known })
    }
}

/// Writes a schedule and its last runs.
pub(crate) fn lines(
    schedule: &Schedule,
    time: fn(cluster_state::Timestamp) -> String,
) -> Vec<String> {
    let Schedule { name, is_paused, next, last, waiting, counts, .. } = schedule;
    let mut line = format!("schedule {name}");
    if *is_paused {
        line.push_str(", paused");
    }
    for (what, at) in [("next", next), ("decided to", last), ("waiting", waiting)] {
        at.iter().for_each(|at| write!(line, ", {what} {}", time(*at)).unwrap());
    }
    let numbers =
        [("started", counts.started), ("skipped", counts.skipped), ("missed", counts.missed)];
    for (what, count) in numbers {
        if count > 0 {
            write!(line, ", {what} {count}").unwrap();
        }
    }
    let run = |run: &ScheduledRun| {
        let manual = if run.is_manual { " by hand" } else { "" };
        let outcome = match &run.outcome {
            RunOutcome::Started { task } => format!("started {task}"),
            RunOutcome::Waiting => "waits".to_owned(),
            RunOutcome::Skipped { running } => format!("skipped beside {running}"),
            RunOutcome::Missed { count, until } => format!("missed {count} until {}", time(*until)),
            RunOutcome::Refused { reason } => format!("refused: {reason}"),
        };
        format!("  {}{manual}: {outcome}", time(run.at))
    };
    std::iter::once(line).chain(schedule.runs.iter().map(run)).collect()
}
