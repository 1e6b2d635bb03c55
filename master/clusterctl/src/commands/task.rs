//! `task`: lists, shows, cancels and awaits tasks.

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
