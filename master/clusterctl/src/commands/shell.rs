//! `shell`: a prompt for operators to register and watch workers. It asks the cluster like every
//! other command, so it works from anywhere and survives a change of leaders.

mod lines;
mod words;

use std::cell::OnceCell;
use std::io;
use std::time::Duration;

use clap::Parser;
use proto::client::Client;
use proto::consistency::Consistency;
use proto::v1;
use tokio::time::{Instant, sleep};

use super::{Context, ask, task, worker};
use crate::args::{ClusterCommand, Format, ShellCommand, ShellLine, WorkerCommand};
use crate::failure::Failure;
use crate::output;
use lines::Lines;

/// Time that a worker has to connect until it is displayed as offline: one that is online is
/// contacted as soon as it is registered.
const CONNECT_MOMENT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Exit code of a line that cannot be parsed.
const USAGE: u8 = 2;

/// Effect of a line on the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Leave,
}

/// Runs until the input ends or the user leaves. The exit code is that of the last failure.
pub(super) async fn run(base: Context) -> Result<(), Failure> {
    let mut lines = Lines::open()?;
    if lines.is_interactive() {
        base.output.message("help shows the commands, exit or Ctrl-D leaves");
    }
    let mut last_failure = None;
    while let Some(line) = lines.next().await? {
        let obeyed = tokio::select! {
            obeyed = Box::pin(obey(&base, &line)) => obeyed,
            // Ctrl-C interrupts the command, not the prompt.
            Ok(()) = tokio::signal::ctrl_c(), if lines.is_interactive() => Ok(Next::Line),
        };
        match obeyed {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => break,
            Err(exit_code) => last_failure = Some(exit_code),
        }
    }
    last_failure.map_or(Ok(()), |exit_code| Err(Failure::Shell { exit_code }))
}

/// Runs the command of one line and prints its failure; the error is its exit code.
async fn obey(base: &Context, line: &str) -> Result<Next, u8> {
    let told = |failure: &Failure| {
        if let Some(text) = failure.message() {
            base.output.message(format_args!("❌ {text}"));
        }
        failure.exit_code()
    };

    let words = words::split(line).map_err(|error| {
        base.output.message(format_args!("❌ {error}"));
        USAGE
    })?;
    if words.first().is_none_or(|word| word.starts_with('#')) {
        return Ok(Next::Line);
    }

    let line = match ShellLine::try_parse_from(words) {
        Ok(line) => line,
        Err(error) => {
            // The parser returns help as an error; if it cannot be printed, nothing is lost.
            drop(error.print());
            return if error.use_stderr() { Err(USAGE) } else { Ok(Next::Line) };
        }
    };
    if matches!(line.command, ShellCommand::Exit) {
        return Ok(Next::Leave);
    }

    let context = for_line(base, &line).map_err(|failure| told(&failure))?;
    match Box::pin(command(&context, line.command)).await {
        Ok(()) => Ok(Next::Line),
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Next::Leave),
        Err(failure) => Err(told(&failure)),
    }
}

/// Returns the shell's context with the options of the line. The connection stays the same.
fn for_line(base: &Context, line: &ShellLine) -> Result<Context, Failure> {
    let output = line.output.map_or(base.output, |format| base.output.with_format(format));
    let timeout = line.timeout.or(base.timeout);
    let (endpoints, trust) = (base.endpoints.clone(), base.trust.clone());
    let token = base.token.clone();
    let context = Context { endpoints, trust, timeout, token, output, client: OnceCell::new() };
    if line.timeout.is_none() {
        // The context is new, so it holds no client yet.
        drop(context.client.set(base.client()?));
    }
    Ok(context)
}

async fn command(context: &Context, command: ShellCommand) -> Result<(), Failure> {
    match command {
        ShellCommand::Worker(WorkerCommand::Register { worker_id, address, labels }) => {
            register(context, worker::registration(worker_id, address, labels)).await
        }
        ShellCommand::Worker(WorkerCommand::Unregister { worker_id }) => {
            context.client()?.unregister_worker(&worker_id).await?;
            let text = format!("✅ Worker {worker_id} unregistered");
            context.output.data(&worker_id, |_, _| text)
        }
        ShellCommand::Worker(command) => Box::pin(worker::run(context, command)).await,
        ShellCommand::Tasks(args) => task::list(context, &context.client()?, args).await,
        ShellCommand::Cluster(ClusterCommand::Workers) => {
            let workers = worker::all(&context.client()?).await?;
            context.output.data(workers.as_slice(), output::worker_box)
        }
        ShellCommand::Cluster(command) => ask(context, command).await,
        // The shell has left before.
        ShellCommand::Exit => Ok(()),
    }
}

/// Registers a worker and prints whether it is online.
async fn register(context: &Context, request: v1::RegisterRequest) -> Result<(), Failure> {
    let client = context.client()?;
    let registered = client.register_worker(request).await?;
    let is_read = context.output.format() == Format::Table;
    let worker = if is_read { after_a_moment(&client, registered).await } else { registered };
    context.output.data(&worker, |worker, _| registered_text(worker))
}

/// Returns the worker once it is connected, or has not connected within a moment.
async fn after_a_moment(client: &Client, mut worker: v1::Worker) -> v1::Worker {
    let until = Instant::now() + CONNECT_MOMENT;
    while !worker.is_active && Instant::now() < until {
        sleep(POLL_INTERVAL).await;
        match client.worker(&worker.worker_id, Consistency::default()).await {
            Ok(seen) => worker = seen,
            // It is registered, whatever happens to the cluster now.
            Err(_) => break,
        }
    }
    worker
}

fn registered_text(worker: &v1::Worker) -> String {
    let address = worker.address.as_deref().unwrap_or("unknown");
    let registered = format!("✅ Worker {} registered with address {address}", worker.worker_id);
    let standing =
        if worker.is_active { "(connected)" } else { "(offline, will reconnect automatically)" };
    format!("{registered}\n{standing}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_says_whether_the_worker_is_there() {
        let offline = v1::Worker {
            worker_id: "worker-1".to_owned(),
            address: Some("192.168.1.100:50052".to_owned()),
            ..v1::Worker::default()
        };
        let expected = "✅ Worker worker-1 registered with address 192.168.1.100:50052\n\
            (offline, will reconnect automatically)";
        assert_eq!(registered_text(&offline), expected);
        let online = v1::Worker { is_active: true, ..offline };
        assert!(registered_text(&online).ends_with("\n(connected)"));
    }
}
