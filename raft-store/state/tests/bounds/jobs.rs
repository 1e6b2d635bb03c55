//! Orders about many tasks: each step is bounded, and so is what is kept of them.

use cluster_state::{
    AdvanceJob, Command, JobAction, JobId, JobStep, Level, Limits, LogIndex, Proposal, RaiseLevel,
    Rejection, Reply, StartJob, State, TaskFilter, Term, Timestamp,
};

use super::{apply, submit};

#[test]
fn an_order_about_many_tasks_is_carried_out_in_bounded_steps() {
    let mut state = State::new();
    let (term, limits) = (Term(0), Limits::NEWEST);
    apply(&mut state, Command::RaiseLevel(RaiseLevel { term, level: Level(2) }));
    for _ in 0..3 {
        submit(&mut state, limits.tasks_per_submit_max, None);
    }
    let [examined, most] =
        [limits.job_examined_max, limits.job_tasks_max].map(|bound| bound as u64);

    let job = start_job(&mut state, 2, Some(9)).unwrap();
    let passed = [examined, 2 * examined, 3 * examined].map(|passed| (passed, 0));
    assert_eq!([(); 3].map(|()| step(&mut state, job)), passed);
    assert!(!state.job(job).unwrap().is_under_way());

    let job = start_job(&mut state, 3, Some(50)).unwrap();
    assert_eq!(step(&mut state, job), (most, most));
    assert_eq!(step(&mut state, job), (2 * most, 2 * most));
    assert_eq!(state.live_tasks() as u64, 3 * examined - 2 * most);
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn jobs_have_bounds_and_the_oldest_ended_ones_make_room() {
    let mut state = State::new();
    let (term, limits) = (Term(0), Limits::NEWEST);
    apply(&mut state, Command::RaiseLevel(RaiseLevel { term, level: Level(2) }));
    // There are no tasks: each has nothing to pass.
    for index in 1..=150 {
        start_job(&mut state, index, None).unwrap();
    }
    assert!(state.jobs().map(|job| job.id.0).eq(51..=150));

    submit(&mut state, 1, None);
    let most = limits.jobs_under_way_max as u64;
    for index in 151..151 + most {
        start_job(&mut state, index, None).unwrap();
    }
    let refused = start_job(&mut state, 200, None).unwrap_err();
    assert_eq!(refused.to_string(), format!("limit reached: at most {most} jobs under way"));
    for index in 151..151 + most {
        step(&mut state, JobId(index));
    }
    assert_eq!((state.jobs().len(), state.jobs_under_way().count()), (limits.jobs_kept_max, 0));

    let filter = TaskFilter { name_prefix: Some("x".repeat(9_000)), ..TaskFilter::default() };
    let refused = try_start(&mut state, 300, filter).unwrap_err();
    assert_eq!(refused.to_string(), "limit reached: at most 8192 bytes of a filter");
    assert_eq!(state.check_invariants(), Ok(()));
}

fn start_job(state: &mut State, index: u64, priority: Option<u8>) -> Result<JobId, Rejection> {
    try_start(state, index, TaskFilter { priority, ..TaskFilter::default() })
}

fn try_start(state: &mut State, index: u64, filter: TaskFilter) -> Result<JobId, Rejection> {
    let (action, by) = (JobAction::Cancel, "user:ada".to_owned());
    let command = Command::StartJob(StartJob { action, filter, by });
    let reply = state.apply(LogIndex(index), Proposal { proposed_at: Timestamp(0), command }).reply;
    reply.map(|reply| {
        assert_eq!(reply, Reply::JobStarted(JobId(index)));
        JobId(index)
    })
}

/// Takes a step of a job; returns what it has passed, and done, by then.
fn step(state: &mut State, job: JobId) -> (u64, u64) {
    let (term, step) = (Term(0), JobStep::Cancel);
    apply(state, Command::AdvanceJob(AdvanceJob { term, job, step }));
    let after = state.job(job).unwrap();
    (after.passed, after.done)
}
