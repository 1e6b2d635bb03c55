//! `task logs`: copies a task's output to this program's.

use std::io::{self, Write};

use proto::client::{Client, LogStream};
use proto::output::OutputStream;
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
        stream: OutputStream::number(args.stream),
        follow: args.follow,
        tail_lines: args.tail,
        ..v1::TaskLogsRequest::default()
    };
    copy(context, client.logs(request).await?).await
}

/// Prints all output of a task until it is finished, from its first attempt on.
pub(super) async fn follow(
    context: &Context,
    client: &Client,
    task_id: &str,
) -> Result<(), Failure> {
    let request = v1::TaskLogsRequest {
        task_id: task_id.to_owned(),
        follow: true,
        from_attempt: 1,
        ..v1::TaskLogsRequest::default()
    };
    copy(context, client.logs(request).await?).await
}

/// Copies standard error of the task to standard error, which remarks go to as well.
async fn copy(context: &Context, mut log: LogStream) -> Result<(), Failure> {
    let mut is_first_attempt = true;
    while let Some(chunk) = log.next().await? {
        if let Some(remark) = remark(&chunk, &mut is_first_attempt) {
            context.output.message(format_args!("-- {remark} --"));
        } else if chunk.stream() == v1::OutputStream::Stderr {
            write(&mut io::stderr().lock(), &chunk.data)?;
        } else {
            write(&mut io::stdout().lock(), &chunk.data)?;
        }
    }
    Ok(())
}

/// Returns the remark of a chunk beside its output; none for the first attempt.
fn remark(chunk: &v1::LogChunk, is_first_attempt: &mut bool) -> Option<String> {
    if !chunk.notice.is_empty() {
        return Some(chunk.notice.clone());
    }
    if chunk.worker_id.is_empty() || std::mem::take(is_first_attempt) {
        return None;
    }
    Some(format!("attempt {} on {}", chunk.attempt, chunk.worker_id))
}

fn write(to: &mut impl Write, data: &[u8]) -> io::Result<()> {
    to.write_all(data)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_attempts_and_gaps_are_told() {
        let opening = |attempt| v1::LogChunk {
            attempt,
            worker_id: format!("w{attempt}"),
            ..v1::LogChunk::default()
        };
        let gap = v1::LogChunk { notice: "w2 is gone".to_owned(), ..v1::LogChunk::default() };
        let mut is_first = true;
        let mut told = |chunk| remark(&chunk, &mut is_first);
        assert_eq!(told(opening(1)), None);
        assert_eq!(told(v1::LogChunk::default()), None);
        assert_eq!(told(opening(2)).as_deref(), Some("attempt 2 on w2"));
        assert_eq!(told(gap).as_deref(), Some("w2 is gone"));
    }
}
