//! Waits for tasks to end, and tells how each ended.

use std::time::Duration;

use daemon::progress::Progress;
use proto::client::Client;
use proto::names::name_of;
use proto::v1;

use super::Context;
use crate::failure::Failure;
use crate::output;

/// Ends of so many tasks are told one by one; of more only those that are not good.
const TOLD_MAX: usize = 20;
/// Pause between two looks at what is shown of the progress.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Waits for each task, shows how many have ended, and prints how.
pub(super) async fn wait(
    context: &Context,
    client: &Client,
    task_ids: &[String],
) -> Result<Vec<v1::Task>, Failure> {
    let started = tokio::time::Instant::now();
    let mut progress = Progress::new("finished");
    let (total, mut completed) = (task_ids.len(), 0_usize);
    let mut finished = Vec::with_capacity(total);
    for task_id in task_ids {
        let left = context.timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        let mut ended = std::pin::pin!(client.wait(task_id, left));
        let task = loop {
            tokio::select! {
                task = &mut ended => break task?,
                () = tokio::time::sleep(PROGRESS_PAUSE), if total > 1 => {
                    show(&mut progress, finished.len(), total);
                }
            }
        };
        if !task.is_terminal() {
            let state = name_of::<v1::TaskState>(task.state);
            return Err(Failure::StillGoing { task_id: task.task_id, state });
        }
        let is_good = task.state() == v1::TaskState::Completed;
        completed = completed.saturating_add(usize::from(is_good));
        if total <= TOLD_MAX || !is_good {
            progress.clear();
            context.output.message(ending(&task));
        }
        finished.push(task);
    }
    progress.clear();
    if total > TOLD_MAX {
        context.output.message(format_args!("{completed} of {total} tasks completed"));
    }
    Ok(finished)
}

fn show(progress: &mut Progress, finished: usize, total: usize) {
    let parts = [finished, total].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let [done, of] = parts;
    progress.show_part(done, of, &format!("{done} of {of} tasks"));
}

/// Prints how tasks have ended.
pub(super) fn print(context: &Context, finished: &[v1::Task]) -> Result<(), Failure> {
    context.output.data(finished, output::tasks)
}

/// Fails if one of the tasks did not complete.
pub(super) fn verdict(finished: &[v1::Task]) -> Result<(), Failure> {
    let is_good = finished.iter().all(|task| task.state() == v1::TaskState::Completed);
    if is_good { Ok(()) } else { Err(Failure::TaskFailed) }
}

/// Describes the end of a task in a sentence.
fn ending(task: &v1::Task) -> String {
    let mut text = format!("task {} {}", task.task_id, name_of::<v1::TaskState>(task.state));
    if let Some(code) = task.exit_code {
        text = format!("{text} with exit code {code}");
    }
    let last = task.attempts.last().and_then(|attempt| attempt.reason.as_ref());
    if let Some(reason) = last.or(task.reason.as_ref()) {
        text = format!("{text}: {reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: v1::TaskState, exit_code: Option<i32>) -> v1::Task {
        let state = state.into();
        v1::Task { task_id: "t1".to_owned(), state, exit_code, ..v1::Task::default() }
    }

    #[test]
    fn only_completed_tasks_ended_well() {
        assert!(verdict(&[task(v1::TaskState::Completed, Some(0))]).is_ok());
        for state in [v1::TaskState::Failed, v1::TaskState::Cancelled] {
            let failure =
                verdict(&[task(v1::TaskState::Completed, Some(0)), task(state, None)]).unwrap_err();
            assert_eq!(failure.exit_code(), 8);
        }
    }

    #[test]
    fn an_ending_says_why() {
        assert_eq!(
            ending(&task(v1::TaskState::Completed, Some(0))),
            "task t1 completed with exit code 0"
        );
        let cancelled = v1::Task {
            reason: Some("cancelled by user".to_owned()),
            ..task(v1::TaskState::Cancelled, None)
        };
        assert_eq!(ending(&cancelled), "task t1 cancelled: cancelled by user");
    }
}
