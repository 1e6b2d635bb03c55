//! Runs each command: asks the cluster and prints the answer.

mod config;
mod dev;
mod drain;
mod leader;
mod logs;
mod mass_loss;
mod member;
mod orphan;
mod shell;
mod snapshot;
mod submit;
mod task;
mod token;
mod upgrade;
mod user;
mod wait;
mod worker;

use std::cell::OnceCell;
use std::time::Duration;

use proto::client::{BearerToken, Client, ClientError, ClientOptions};
use proto::v1;

use crate::args::{Args, ClusterCommand, Command, ConnectionArgs};
use crate::credentials::{self, TOKEN_VARIABLE};
use crate::failure::Failure;
use crate::output::{self, Output};

/// Context of every command.
#[derive(Debug)]
struct Context {
    endpoints: Vec<String>,
    timeout: Option<Duration>,
    token: Option<BearerToken>,
    output: Output,
    client: OnceCell<Client>,
}

impl Context {
    fn new(
        endpoints: Vec<String>,
        timeout: Option<Duration>,
        token: Option<BearerToken>,
        output: Output,
    ) -> Self {
        Self { endpoints, timeout, token, output, client: OnceCell::new() }
    }

    /// Returns the client, always the same one, because it remembers the leader.
    fn client(&self) -> Result<Client, ClientError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let token = self.token.clone();
        let mut options = ClientOptions { token, ..ClientOptions::default() };
        if let Some(timeout) = self.timeout {
            options.deadline = timeout;
            options.attempt_timeout = options.attempt_timeout.min(timeout);
        }
        let client = Client::new(&self.endpoints, options)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Runs the given command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let Args { connection, timeout, command } = args;
    let ConnectionArgs { endpoints, token_file, output } = connection;
    let token = credentials::token(token_file.as_deref(), std::env::var(TOKEN_VARIABLE).ok())?;
    let context = Context::new(endpoints, timeout, token, Output::new(output));
    match command {
        Command::Cluster(command) => ask(&context, command).await,
        Command::Shell => Box::pin(shell::run(context)).await,
        Command::Snapshot { command } => Box::pin(snapshot::run(&context, command)).await,
        Command::Dev(args) => Box::pin(dev::run(&context, args)).await,
    }
}

/// Asks the cluster and prints the answer.
async fn ask(context: &Context, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Leader { command } => leader::run(context, command).await,
        ClusterCommand::Status => {
            let status = context.client()?.status().await?;
            context.output.data(&status, output::status)
        }
        ClusterCommand::Workers => worker::list(context).await,
        ClusterCommand::Worker { command } => Box::pin(worker::run(context, command)).await,
        ClusterCommand::Task { command } => Box::pin(task::run(context, command)).await,
        ClusterCommand::Token { command } => token::run(context, command).await,
        ClusterCommand::User { command } => user::run(context, command).await,
        ClusterCommand::Config { command } => config::run(context, command).await,
        ClusterCommand::Member { command } => Box::pin(member::run(context, command)).await,
        ClusterCommand::Upgrade { command } => upgrade::run(context, command).await,
        ClusterCommand::Orphan { command } => orphan::run(context, command).await,
        ClusterCommand::MassLoss { command } => mass_loss::run(context, command).await,
    }
}

/// Returns an order about new tasks on a worker, without a deadline.
fn scheduling_order(worker_id: String, order: v1::SchedulingOrder) -> v1::SetSchedulingRequest {
    v1::SetSchedulingRequest { worker_id, order: order.into(), timeout: None }
}
