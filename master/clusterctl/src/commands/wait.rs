//! Waits for tasks to end, and tells how each ended.

use proto::client::Client;
use proto::names::name_of;
use proto::v1;

use super::Context;
use crate::failure::Failure;

/// Waits for each task and prints its end.
pub(super) async fn wait(
    context: &Context,
    client: &Client,
    task_ids: &[String],
) -> Result<Vec<v1::Task>, Failure> {
    let started = tokio::time::Instant::now();
    let mut finished = Vec::with_capacity(task_ids.len());
    for task_id in task_ids {
        let left = context.timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        let task = client.wait(task_id, left).await?;
        if !task.is_terminal() {
            let state = name_of::<v1::TaskState>(task.state);
            return Err(Failure::StillGoing { task_id: task.task_id, state });
        }
        context.output.message(ending(&task));
        finished.push(task);
    }
    Ok(finished)
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
