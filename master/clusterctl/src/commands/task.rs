//! `task`: lists, shows, cancels, retries and awaits tasks.

use proto::client::Client;
use proto::consistency::Consistency;
use proto::names::name_of;
use proto::v1;

use super::{Context, logs, submit, wait};
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
        TaskCommand::Explain { task_id } => {
            let explanation = client.explain(&task_id).await?;
            context.output.data(&explanation, output::explanation)
        }
        TaskCommand::Wait { task_ids } => {
            let finished = wait::wait(context, &client, &task_ids).await?;
            if context.output.format() == Format::Json {
                context.output.data(finished.as_slice(), output::tasks)?;
            }
            wait::verdict(&finished)
        }
        TaskCommand::Cancel { task_id } => {
            let cancelled = client.cancel(&task_id).await?;
            context.output.data(&cancelled, |task, _| {
                format!("{} {}", task.task_id, name_of::<v1::TaskState>(task.state))
            })
        }
        TaskCommand::Retry { task_ids } => retry(context, &client, &task_ids).await,
        TaskCommand::Logs(args) => logs::run(context, &client, args).await,
    }
}

/// Retries one task after the other. Those that cannot be retried do not keep back the others; the first
/// of their errors is that of the command.
async fn retry(context: &Context, client: &Client, task_ids: &[String]) -> Result<(), Failure> {
    let mut retried = Vec::with_capacity(task_ids.len());
    let mut first = None;
    for id in task_ids {
        match client.retry(id).await {
            Ok(task) => retried.push(task),
            Err(error) => {
                if first.is_some() {
                    context.output.message(format_args!("{error}"));
                }
                first.get_or_insert(error);
            }
        }
    }
    if !retried.is_empty() {
        context.output.data(retried.as_slice(), |tasks, _| {
            let line = |task: &v1::SubmittedTask| {
                format!("{} {}", task.task_id, name_of::<v1::TaskState>(task.state))
            };
            tasks.iter().map(line).collect::<Vec<_>>().join("\n")
        })?;
    }
    first.map_or(Ok(()), |error| Err(error.into()))
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
            state: args.state.map(Into::into),
            worker: args.worker.clone(),
            label: args.label.clone(),
            limit: left.min(PAGE_MAX),
            cursor,
            consistency: Consistency::default().into(),
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
