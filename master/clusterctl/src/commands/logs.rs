//! `task logs`: a task's output on our own.

use std::io::{self, Write};

use proto::client::{Client, LogStream};
use proto::v1;

use super::Context;
use crate::args::{Format, LogsArgs};
use crate::failure::Failure;

pub(super) async fn run(context: &Context, client: &Client, args: LogsArgs) -> Result<(), Failure> {
    if context.output.format() == Format::Json {
        context.output.message("a log has no JSON form; it is shown as it is");
    }
    let request = v1::TaskLogsRequest {
        task_id: args.task_id,
        attempt: args.attempt,
        stream: args.stream.unwrap_or_default(),
        follow: args.follow,
        tail_lines: args.tail,
    };
    copy(client.logs(request).await?).await
}

/// Shows all that a task writes until it is finished.
pub(super) async fn follow(client: &Client, task_id: &str) -> Result<(), Failure> {
    let task_id = task_id.to_owned();
    let request = v1::TaskLogsRequest { task_id, follow: true, ..v1::TaskLogsRequest::default() };
    copy(client.logs(request).await?).await
}

/// What the task wrote to standard error goes to ours.
async fn copy(mut log: LogStream) -> Result<(), Failure> {
    while let Some(chunk) = log.next().await? {
        if chunk.stream == "stderr" {
            write(&mut io::stderr().lock(), &chunk.data)?;
        } else {
            write(&mut io::stdout().lock(), &chunk.data)?;
        }
    }
    Ok(())
}

fn write(to: &mut impl Write, data: &[u8]) -> io::Result<()> {
    to.write_all(data)?;
    to.flush()
}
