//! Named queues and concurrency keys: there are no more than may be, however they come into being.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AdvanceSchedules, Class, Command, ConcurrencyKey, KnownSchedule, Level, Limits, LogIndex,
    Overlap, PauseQueue, Proposal, PutQueue, PutSchedule, QueueName, QueueSettings, RaiseLevel,
    Rejection, Reply, RunOutcome, RunSchedule, ScheduleName, SchedulePlan, ScheduleStep, State,
    SubmitTasks, TaskSpec, Term, Timestamp,
};

use super::{apply, apply_at, spec};

fn at_level_2() -> State {
    let mut state = State::new();
    apply(&mut state, Command::RaiseLevel(RaiseLevel { term: Term(0), level: Level(2) }));
    state
}

fn try_apply(state: &mut State, command: Command) -> Result<Reply, Rejection> {
    state.apply(LogIndex(1), Proposal { proposed_at: Timestamp(0), command }).reply
}

fn too_many(what: &str, max: usize) -> Rejection {
    Rejection::LimitReached { what: what.into(), max: max as u64 }
}

fn with_key(number: usize) -> Arc<TaskSpec> {
    let key: ConcurrencyKey = format!("k{number}").parse().unwrap();
    let class = Class { concurrency_key: Some(key), ..Class::clone(&spec().class) };
    Arc::new(TaskSpec { class: Arc::new(class), ..spec() })
}

fn submit(state: &mut State, keys: impl IntoIterator<Item = usize>) -> Result<Reply, Rejection> {
    let tasks = keys.into_iter().map(with_key).collect();
    try_apply(state, Command::SubmitTasks(SubmitTasks { tasks, idempotency_key: None }))
}

#[test]
fn a_queue_that_always_exists_gets_no_record_beyond_the_bound() {
    let mut state = at_level_2();
    let max = Limits::NEWEST.queues_max;
    let (settings, known_at) = (QueueSettings::default(), None);
    for number in 0..max {
        let name = format!("q{number}").parse().unwrap();
        apply(&mut state, Command::PutQueue(PutQueue { name, settings, known_at }));
    }
    let pause = |name: QueueName| Command::PauseQueue(PauseQueue { name, is_paused: true });
    let refused = try_apply(&mut state, pause(QueueName::default()));
    assert_eq!(refused, Err(too_many("queues", max)));
    assert_eq!(try_apply(&mut state, pause("q1".parse().unwrap())), Ok(Reply::Done));
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn only_new_concurrency_keys_count_and_runs_of_schedules_count_too() {
    let mut state = at_level_2();
    let (most, max) = (Limits::NEWEST.tasks_per_submit_max, Limits::NEWEST.concurrency_keys_max);
    let name: ScheduleName = "s".parse().unwrap();
    let plan = SchedulePlan {
        cron: "* * * * *".to_owned(),
        zone: "UTC".to_owned(),
        overlap: Overlap::Allow,
        catch_up: Duration::from_secs(3_600),
        task: with_key(max),
    };
    let (next, zone_data, known) = (Some(Timestamp(60_000)), String::new(), KnownSchedule::None);
    let put = PutSchedule { name: name.clone(), plan, is_paused: false, next, zone_data, known };
    apply(&mut state, Command::PutSchedule(put));

    let full = Err(too_many("concurrency keys", max));
    for from in (0..max - most).step_by(most) {
        submit(&mut state, from..from + most).unwrap();
    }
    let first_new = max - most / 2;
    submit(&mut state, max - most..first_new).unwrap();
    submit(&mut state, std::iter::repeat_n(0, most)).unwrap();
    assert_eq!(submit(&mut state, first_new..=max), full);
    submit(&mut state, first_new..max).unwrap();
    submit(&mut state, [0]).unwrap();
    assert_eq!(state.concurrency_keys(), max);

    let run = Command::RunSchedule(RunSchedule { name: name.clone(), idempotency_key: None });
    assert_eq!(try_apply(&mut state, run), full);
    let (due, next) = (vec![Timestamp(60_000)], Some(Timestamp(120_000)));
    let step = ScheduleStep { schedule: name.clone(), known_at: LogIndex(1), due, next };
    let (term, zone_data, steps) = (Term(0), String::new(), vec![step]);
    let advance = Command::AdvanceSchedules(AdvanceSchedules { term, zone_data, steps });
    apply_at(&mut state, Timestamp(60_000), advance);
    let last = state.schedule(&name).unwrap().runs.back().unwrap().outcome.clone();
    assert_eq!(last, RunOutcome::Refused { reason: "limit-reached".into() });
    assert_eq!(state.concurrency_keys(), max);
}
