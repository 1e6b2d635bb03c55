//! `task submit`: reads tasks from the command line or from files, submits them, and waits for their
//! end on request.

mod flags;

use std::path::{Path, PathBuf};

use proto::client::Client;
use proto::v1;
use uuid::Uuid;

use super::{Context, logs, wait};
use crate::args::{Format, GraphArgs, SpecArgs, SubmitArgs, TimingArgs};
use crate::failure::Failure;
use crate::stdin_source::StdinError;
use crate::task_file::{self, TaskFile, TaskFormat};

pub(super) async fn run(
    context: &Context,
    client: &Client,
    args: SubmitArgs,
) -> Result<(), Failure> {
    let SubmitArgs { files, format, spec, timing, graph, idempotency_key, .. } = args;
    let (waits, shows) = (args.wait, args.logs);
    let tasks = described(&files, format, spec, timing, graph)?;
    // Chosen here, so that a failure can name it.
    let key = idempotency_key.unwrap_or_else(|| Uuid::new_v4().to_string());
    let accepted = match client.submit(tasks, Some(key.clone())).await {
        Ok(accepted) => accepted,
        Err(source) => return Err(Failure::Submit { source, idempotency_key: key }),
    };

    let ids = accepted.iter().map(|task| task.task_id.clone()).collect::<Vec<_>>();
    if shows {
        show(context, client, &ids).await?;
    } else if !waits || context.output.format() != Format::Json {
        context.output.data(accepted.as_slice(), |_, _| ids.join("\n"))?;
    }
    if !waits && !shows {
        return Ok(());
    }
    let finished = wait::wait(context, client, &ids).await?;
    if !shows && context.output.format() == Format::Json {
        wait::print(context, &finished)?;
    }
    wait::verdict(&finished)
}

/// Returns the tasks that files and flags describe.
pub(super) fn described(
    files: &[PathBuf],
    format: Option<TaskFormat>,
    spec: SpecArgs,
    timing: TimingArgs,
    graph: GraphArgs,
) -> Result<Vec<v1::TaskSpec>, Failure> {
    let own = Path::new("-");
    if spec.stdin.as_deref() == Some(own) && files.iter().any(|file| file == own) {
        return Err(StdinError::Taken.into());
    }
    let given = flags::given(spec, timing, graph)?;
    if files.is_empty() {
        return Ok(vec![given]);
    }
    let mut files = task_file::read_all(files, format)?;
    let tasks = files.iter_mut().flat_map(TaskFile::tasks_mut);
    tasks.for_each(|task| flags::put_before(&given, task));
    Ok(task_file::into_tasks(files)?)
}

/// Shows the output of each task to its end, which counts whether or not its output is available.
async fn show(context: &Context, client: &Client, ids: &[String]) -> Result<(), Failure> {
    // Standard output belongs to the tasks.
    context.output.message(format_args!("task {} is accepted", ids.join(", ")));
    for id in ids {
        match logs::follow(context, client, id).await {
            Err(Failure::Client(error)) => {
                let warning = format_args!("the output of {id} is not shown to its end: {error}");
                context.output.message(warning);
            }
            shown => shown?,
        }
    }
    Ok(())
}
