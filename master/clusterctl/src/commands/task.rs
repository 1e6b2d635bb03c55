//! `task`: lists, shows, cancels and awaits tasks.

use proto::client::Client;
use proto::consistency::Consistency;
use proto::v1;

use super::{Context, logs, submit};
use crate::args::{Format, ListArgs, TaskCommand};
use crate::failure::Failure;
use crate::output;

/// Maximum number of tasks in one page.
const PAGE_MAX: u32 = 500;

pub(super) async fn run(context: &Context, command: TaskCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        TaskCommand::Submit(args) => submit::run(context, &client, *args).await,
        TaskCommand::List(args) => list(context, &client, args).await,
        TaskCommand::Show { task_id } => {
            let task = client.task(&task_id, Consistency::default()).await?;
            context.output.data(&task, output::task)
        }
        TaskCommand::Wait { task_ids } => {
            let finished = wait(context, &client, &task_ids).await?;
            if context.output.format() == Format::Json {
                context.output.data(finished.as_slice(), output::tasks)?;
            }
            verdict(&finished)
        }
        TaskCommand::Cancel { task_id } => {
            let cancelled = client.cancel(&task_id).await?;
            context.output.data(&cancelled, |task, _| format!("{} {}", task.task_id, task.state))
        }
        TaskCommand::Logs(args) => logs::run(context, &client, args).await,
    }
}

pub(super) async fn list(
    context: &Context,
    client: &Client,
    args: ListArgs,
) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    let mut cursor = None;
    let mut left = args.limit;
    while left > 0 {
        let request = v1::ListTasksRequest {
            state: args.state.clone(),
            worker: args.worker.clone(),
            label: args.label.clone(),
            limit: left.min(PAGE_MAX),
            cursor,
            consistency: Consistency::default().name().to_owned(),
            placed: false,
        };
        let page = client.tasks(request).await?;
        left = left.saturating_sub(u32::try_from(page.tasks.len()).unwrap_or(u32::MAX));
        tasks.extend(page.tasks);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    context.output.data(tasks.as_slice(), output::tasks)
}

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
            return Err(Failure::StillGoing { task_id: task.task_id, state: task.state });
        }
        context.output.message(ending(&task));
        finished.push(task);
    }
    Ok(finished)
}

/// Fails if one of the tasks did not complete.
pub(super) fn verdict(finished: &[v1::Task]) -> Result<(), Failure> {
    let is_good = finished.iter().all(|task| task.state == "completed");
    if is_good { Ok(()) } else { Err(Failure::TaskFailed) }
}

/// Describes the end of a task in a sentence.
fn ending(task: &v1::Task) -> String {
    let mut text = format!("task {} {}", task.task_id, task.state);
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

    fn task(state: &str, exit_code: Option<i32>) -> v1::Task {
        let state = state.to_owned();
        v1::Task { task_id: "t1".to_owned(), state, exit_code, ..v1::Task::default() }
    }

    #[test]
    fn only_completed_tasks_ended_well() {
        assert!(verdict(&[task("completed", Some(0))]).is_ok());
        for state in ["failed", "cancelled"] {
            let failure = verdict(&[task("completed", Some(0)), task(state, None)]).unwrap_err();
            assert_eq!(failure.exit_code(), 8);
        }
    }

    #[test]
    fn an_ending_says_why() {
        assert_eq!(ending(&task("completed", Some(0))), "task t1 completed with exit code 0");
        let cancelled =
            v1::Task { reason: Some("cancelled by user".to_owned()), ..task("cancelled", None) };
        assert_eq!(ending(&cancelled), "task t1 cancelled: cancelled by user");
    }
}
