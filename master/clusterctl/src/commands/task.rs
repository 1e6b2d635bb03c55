//! `task`: lists, shows, cancels, retries and awaits tasks.

use std::time::Duration;

use proto::client::{Client, ClientError};
use proto::consistency::Consistency;
use proto::names::name_of;
use proto::v1;

use super::{Context, job, logs, result, submit, wait};
use crate::args::{Format, ListArgs, OrderArgs, TaskCommand};
use crate::failure::Failure;
use crate::output;

/// Maximum number of tasks in one page.
const PAGE_MAX: u32 = 500;
/// Pause between two looks of a list that is watched.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, command: TaskCommand) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        TaskCommand::Submit(args) => submit::run(context, &client, *args).await,
        TaskCommand::List(args) => list(context, &client, args).await,
        TaskCommand::Show { task_id } => {
            let task = client.task(&task_id, Consistency::default()).await?;
            context.output.data(&task, output::task)
        }
        TaskCommand::Result { task_id } => result::run(context, &client, &task_id).await,
        TaskCommand::Explain { task_id } => {
            let explanation = client.explain(&task_id).await?;
            context.output.data(&explanation, output::explanation)
        }
        TaskCommand::Wait { task_ids } => {
            let finished = wait::wait(context, &client, &task_ids).await?;
            if context.output.format() == Format::Json {
                wait::print(context, &finished)?;
            }
            wait::verdict(&finished)
        }
        TaskCommand::Cancel(order) => cancel(context, &client, order).await,
        TaskCommand::Retry { order, failed, cancelled } => {
            let named = [(failed, v1::TaskState::Failed), (cancelled, v1::TaskState::Cancelled)];
            let named = named.into_iter().filter(|(is_named, _)| *is_named);
            retry(context, &client, order, named.map(|(_, state)| state)).await
        }
        TaskCommand::Logs(args) => logs::run(context, &client, args).await,
    }
}

async fn cancel(context: &Context, client: &Client, order: OrderArgs) -> Result<(), Failure> {
    let OrderArgs { task_ids, selection, follow } = order;
    match task_ids.as_slice() {
        [] => {
            let selection = v1::TaskSelection::from(selection);
            job::order(context, client, v1::JobAction::Cancel, selection, &follow).await
        }
        [id] => {
            let cancelled = client.cancel(id).await?;
            context.output.data(&cancelled, |task, _| line(task))
        }
        ids => one_by_one(context, ids, async |id| client.cancel(id).await).await,
    }
}

async fn retry(
    context: &Context,
    client: &Client,
    order: OrderArgs,
    states: impl IntoIterator<Item = v1::TaskState>,
) -> Result<(), Failure> {
    let OrderArgs { task_ids, selection, follow } = order;
    if task_ids.is_empty() {
        let mut selection = v1::TaskSelection::from(selection);
        selection.states.extend(states.into_iter().map(i32::from));
        return job::order(context, client, v1::JobAction::Retry, selection, &follow).await;
    }
    one_by_one(context, &task_ids, async |id| client.retry(id).await).await
}

/// Gives an order about one task after the other. Those about which it is refused do not keep back the
/// others; the first of their errors is that of the command.
async fn one_by_one(
    context: &Context,
    task_ids: &[String],
    order: impl AsyncFn(&str) -> Result<v1::SubmittedTask, ClientError>,
) -> Result<(), Failure> {
    let mut obeyed = Vec::with_capacity(task_ids.len());
    let mut first = None;
    for id in task_ids {
        match order(id).await {
            Ok(task) => obeyed.push(task),
            Err(error) => {
                if first.is_some() {
                    context.output.message(format_args!("{error}"));
                }
                first.get_or_insert(error);
            }
        }
    }
    if !obeyed.is_empty() {
        let lines = |tasks: &[v1::SubmittedTask]| tasks.iter().map(line).collect::<Vec<_>>();
        context.output.data(obeyed.as_slice(), |tasks, _| lines(tasks).join("\n"))?;
    }
    first.map_or(Ok(()), |error| Err(error.into()))
}

fn line(task: &v1::SubmittedTask) -> String {
    format!("{} {}", task.task_id, name_of::<v1::TaskState>(task.state))
}

pub(super) async fn list(
    context: &Context,
    client: &Client,
    args: ListArgs,
) -> Result<(), Failure> {
    if !args.watch {
        return show(context, &found(client, &args).await?);
    }
    let mut ended = std::pin::pin!(tokio::signal::ctrl_c());
    let mut shown = None;
    loop {
        let tasks = found(client, &args).await?;
        if context.output.is_redrawn() {
            context.output.clear();
            show(context, &tasks)?;
        } else if shown.as_ref() != Some(&tasks) {
            show(context, &tasks)?;
            shown = Some(tasks);
        }
        tokio::select! {
            ended = &mut ended => return Ok(ended?),
            () = tokio::time::sleep(WATCH_PAUSE) => {}
        }
    }
}

fn show(context: &Context, tasks: &[v1::Task]) -> Result<(), Failure> {
    context.output.data(tasks, output::tasks)
}

/// Returns the tasks that a list selects.
async fn found(client: &Client, args: &ListArgs) -> Result<Vec<v1::Task>, Failure> {
    let mut tasks = Vec::new();
    let mut cursor = None;
    let mut left = args.limit;
    while left > 0 {
        let request = v1::ListTasksRequest {
            states: args.states.iter().copied().map(Into::into).collect(),
            worker: args.worker.clone(),
            labels: args.labels.clone(),
            name_prefix: args.name_prefix.clone(),
            priority: args.priority,
            limit: left.min(PAGE_MAX),
            cursor,
            consistency: Consistency::default().into(),
            ..v1::ListTasksRequest::default()
        };

        let page = client.tasks(request).await?;
        left = left.saturating_sub(u32::try_from(page.tasks.len()).unwrap_or(u32::MAX));
        tasks.extend(page.tasks);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(tasks)
}
