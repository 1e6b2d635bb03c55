//! `task submit`: reads tasks from the command line or a file, submits them, and waits for their
//! end on request.

use std::io::Read;
use std::path::Path;

use proto::client::Client;
use proto::json::Submission;
use proto::v1;
use uuid::Uuid;

use super::{Context, logs, wait};
use crate::args::{Format, SubmitArgs};
use crate::failure::Failure;
use crate::secret_source;

pub(super) async fn run(
    context: &Context,
    client: &Client,
    mut args: SubmitArgs,
) -> Result<(), Failure> {
    let tasks = match args.file.take() {
        Some(path) => read_tasks(&path)?,
        None => vec![from_flags(&mut args)?],
    };
    // Chosen here, so that a failure can name it.
    let key = args.idempotency_key.take().unwrap_or_else(|| Uuid::new_v4().to_string());
    let accepted = match client.submit(tasks, Some(key.clone())).await {
        Ok(accepted) => accepted,
        Err(source) => return Err(Failure::Submit { source, idempotency_key: key }),
    };
    let ids = accepted.iter().map(|task| task.task_id.clone()).collect::<Vec<_>>();
    let waits = args.wait || args.logs;

    if args.logs {
        // Standard output belongs to the tasks.
        context.output.message(format_args!("task {} is accepted", ids.join(", ")));
        for id in &ids {
            // The end of the task counts, whether or not its output is available.
            match logs::follow(context, client, id).await {
                Err(Failure::Client(error)) => {
                    let warning =
                        format_args!("the output of {id} is not shown to its end: {error}");
                    context.output.message(warning);
                }
                shown => shown?,
            }
        }
    } else if !waits || context.output.format() == Format::Table {
        context.output.data(accepted.as_slice(), |_, _| ids.join("\n"))?;
    }
    if !waits {
        return Ok(());
    }
    let finished = wait::wait(context, client, &ids).await?;
    if !args.logs && context.output.format() == Format::Json {
        context.output.data(finished.as_slice(), crate::output::tasks)?;
    }
    wait::verdict(&finished)
}

fn read_tasks(path: &Path) -> Result<Vec<v1::TaskSpec>, Failure> {
    let body = if path == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(path)
    };
    let body = body.map_err(|source| Failure::ReadFile { path: path.to_owned(), source })?;
    let submission = Submission::parse(&body)
        .map_err(|misread| Failure::ParseFile { path: path.to_owned(), misread })?;
    Ok(submission.into_tasks())
}

fn from_flags(args: &mut SubmitArgs) -> Result<v1::TaskSpec, Failure> {
    let names_resources = args.cpu.is_some() || args.memory_mb.is_some();
    let secrets = std::mem::take(&mut args.secret_env);
    let timing = std::mem::take(&mut args.timing);
    Ok(v1::TaskSpec {
        name: args.name.take(),
        command: std::mem::take(&mut args.command),
        env: args.env.drain(..).collect(),
        resources: names_resources.then(|| v1::Resources {
            cpu: args.cpu,
            memory_mb: args.memory_mb,
            ..v1::Resources::default()
        }),
        priority: args.priority,
        worker_id: args.worker.take(),
        max_attempts: args.max_attempts,
        run_timeout: args.run_timeout.take(),
        labels: args.labels.drain(..).collect(),
        secret_env: secret_source::read(secrets, |name| std::env::var(name).ok())?,
        delay: timing.delay,
        not_before: timing.not_before,
        queue_timeout: timing.queue_timeout,
        deadline: timing.deadline,
        retry_backoff: timing.retry_backoff,
        retry_factor: timing.retry_factor,
        retry_max_backoff: timing.retry_max_backoff,
        retry_jitter: timing.retry_jitter,
        no_retry_exit_codes: timing.no_retry_exit_codes,
        ..v1::TaskSpec::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, ClusterCommand, Command, TaskCommand};

    #[test]
    fn flags_become_a_task() {
        let line = "clusterctl task submit --name n --memory-mb 64 --priority 9 --env A=1 \
            --label team=x --max-attempts 2 --run-timeout 1m --worker w1 --delay 5s \
            --queue-timeout 10m --deadline 2h --retry-backoff 2s --retry-factor 1.5 \
            --retry-max-backoff 1h --retry-jitter 0.25 --no-retry-exit-code 2 \
            --no-retry-exit-code 64-78 -- echo hello";
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Cluster(ClusterCommand::Task { command: TaskCommand::Submit(mut args) }) =
            args.command
        else {
            panic!("not a submission");
        };
        let expected = v1::TaskSpec {
            name: Some("n".to_owned()),
            command: vec!["echo".to_owned(), "hello".to_owned()],
            env: [("A".to_owned(), "1".to_owned())].into(),
            resources: Some(v1::Resources { memory_mb: Some(64), ..v1::Resources::default() }),
            priority: Some(9),
            worker_id: Some("w1".to_owned()),
            max_attempts: Some(2),
            run_timeout: Some("1m".to_owned()),
            labels: [("team".to_owned(), "x".to_owned())].into(),
            delay: Some("5s".to_owned()),
            queue_timeout: Some("10m".to_owned()),
            deadline: Some("2h".to_owned()),
            retry_backoff: Some("2s".to_owned()),
            retry_factor: Some(1.5),
            retry_max_backoff: Some("1h".to_owned()),
            retry_jitter: Some(0.25),
            no_retry_exit_codes: vec!["2".to_owned(), "64-78".to_owned()],
            ..v1::TaskSpec::default()
        };
        assert_eq!(from_flags(&mut args).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_not_there_or_not_right_is_named() {
        let missing = read_tasks(Path::new("/nonexistent/tasks.json")).unwrap_err();
        let expected =
            "cannot read /nonexistent/tasks.json: No such file or directory (os error 2)";
        assert_eq!(missing.message().as_deref(), Some(expected));

        let empty = read_tasks(Path::new("/dev/null")).unwrap_err();
        let expected =
            "/dev/null does not hold tasks: EOF while parsing a value at line 1 column 0";
        assert_eq!(empty.message().as_deref(), Some(expected));
    }
}
