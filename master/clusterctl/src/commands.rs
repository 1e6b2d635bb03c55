//! What each command does: ask the cluster, print the answer.

mod bench;
mod dev;
mod leader;
mod logs;
mod submit;
mod task;
mod worker;

use std::time::Duration;

use proto::client::{Client, ClientError, ClientOptions};

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::{self, Output};

/// What every command is given.
#[derive(Debug)]
struct Context {
    endpoints: Vec<String>,
    timeout: Option<Duration>,
    output: Output,
}

impl Context {
    fn client(&self) -> Result<Client, ClientError> {
        let mut options = ClientOptions::default();
        if let Some(timeout) = self.timeout {
            options.deadline = timeout;
            options.attempt_timeout = options.attempt_timeout.min(timeout);
        }
        Client::new(&self.endpoints, options)
    }
}

/// Runs the command that was asked for.
pub async fn run(args: Args) -> Result<(), Failure> {
    let Args { endpoints, output, timeout, command } = args;
    let context = Context { endpoints, timeout, output: Output::new(output) };
    match command {
        Command::Leader { command } => leader::run(&context, command).await,
        Command::Status => {
            let status = context.client()?.status().await?;
            context.output.data(&status, output::status)
        }
        Command::Workers => worker::list(&context).await,
        Command::Worker { command } => worker::run(&context, command).await,
        Command::Task { command } => Box::pin(task::run(&context, command)).await,
        Command::Dev(args) => Box::pin(dev::run(&context, args)).await,
        Command::Bench { command } => Box::pin(bench::run(&context, command)).await,
    }
}
