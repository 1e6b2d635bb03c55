//! `task result`: writes the result of a task to standard output, as it is.

use std::io::{self, Write};

use proto::client::Client;
use proto::consistency::Consistency;
use proto::names::name_of;
use proto::v1;

use super::Context;
use crate::args::Format;
use crate::failure::Failure;

pub(super) async fn run(context: &Context, client: &Client, task_id: &str) -> Result<(), Failure> {
    let task = client.task(task_id, Consistency::default()).await?;
    let is_json = context.output.format() == Format::Json;
    let content = content(task)?;
    if is_json {
        context.output.message("a result has no JSON form; it is shown as it is");
    }
    let mut out = io::stdout().lock();
    out.write_all(&content)?;
    Ok(out.flush()?)
}

/// Returns the result, or the reason that there is none.
fn content(task: v1::Task) -> Result<Vec<u8>, Failure> {
    let is_over = task.is_terminal();
    let v1::Task { task_id, state, result, result_error, .. } = task;
    if !is_over {
        let state = name_of::<v1::TaskState>(state);
        return Err(Failure::StillGoing { task_id, state });
    }
    match (result, result_error) {
        (Some(content), _) => Ok(content.into()),
        (None, Some(reason)) => Err(Failure::NoResult { task_id, reason }),
        (None, None) => {
            let reason = "its last attempt has written nothing into CLOUDAI_RESULT".to_owned();
            Err(Failure::NoResult { task_id, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(task: v1::Task) -> String {
        match content(v1::Task { task_id: "t1".to_owned(), ..task }) {
            Ok(content) => String::from_utf8(content).unwrap(),
            Err(failure) => format!("{} {failure}", failure.exit_code()),
        }
    }

    #[test]
    fn a_task_without_result_says_why() {
        let state = v1::TaskState::Completed.into();
        let over = v1::Task { state, ..v1::Task::default() };
        let running = v1::Task { state: v1::TaskState::Running.into(), ..v1::Task::default() };
        let with = v1::Task { result: Some("{}".into()), ..over.clone() };
        let too_large = Some("result-too-large: 9".to_owned());
        let without = v1::Task { result_error: too_large, ..over.clone() };
        assert_eq!(told(with), "{}");
        assert_eq!(told(without), "3 task t1 has no result: result-too-large: 9");
        assert!(told(over).starts_with("3 task t1 has no result: its last attempt has written"));
        assert_eq!(told(running), "7 task t1 is still running");
    }
}
