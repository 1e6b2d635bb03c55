//! Runs each command: asks the cluster and prints the answer.

mod audit;
mod certificates;
mod config;
mod context;
mod dev;
mod drain;
mod job;
mod leader;
mod login;
mod logs;
mod mass_loss;
mod member;
mod orphan;
mod queue;
mod result;
mod schedule;
mod shell;
mod snapshot;
mod submit;
mod task;
mod tls;
mod token;
mod upgrade;
mod user;
mod wait;
mod watch;
mod worker;

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use credentials::{Credentials, TrustFiles};
use proto::channel::Dialer;
use proto::client::{BearerToken, Client, ClientOptions};
use proto::v1;

use crate::args::{Args, ClusterCommand, Command};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Context of every command.
#[derive(Debug)]
struct Context {
    endpoints: Vec<String>,
    trust: Option<TrustFiles>,
    timeout: Option<Duration>,
    token: Option<BearerToken>,
    output: Output,
    client: OnceCell<Client>,
}

impl Context {
    fn new(connection: Connection, output: Output, timeout: Option<Duration>) -> Self {
        let Connection { endpoints, trust, token } = connection;
        Self { endpoints, trust, timeout, token, output, client: OnceCell::new() }
    }

    /// Returns own certificate, key and what is trusted, as flags of `master`; nothing without a certificate.
    fn master_flags(&self) -> Vec<(&'static str, &Path)> {
        let Some(TrustFiles { trusted, own: Some((certificate, key)), .. }) = &self.trust else {
            return Vec::new();
        };
        vec![("--tls-certificate", certificate), ("--tls-key", key), ("--tls-ca", trusted)]
    }

    /// Returns the client, always the same one, because it remembers the leader.
    fn client(&self) -> Result<Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let token = self.token.clone();
        let mut options = ClientOptions { token, ..ClientOptions::default() };
        if let Some(timeout) = self.timeout {
            options.deadline = timeout;
            options.attempt_timeout = options.attempt_timeout.min(timeout);
        }
        if let Some(trust) = self.trust.clone() {
            options.dialer = Dialer::secured(Credentials::load(trust)?);
        }
        let client = Client::new(&self.endpoints, options)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Runs the given command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let Args { connection, timeout, command } = args;
    let output = Output::new(connection.output);
    let find = |connection| {
        let connection = Connection::find(connection, variable)?;
        Ok::<_, Failure>(Context::new(connection, output, timeout))
    };
    let given = |connection| {
        let connection = Connection::given(connection, variable)?;
        Ok::<_, Failure>(Context::new(connection, output, timeout))
    };
    match command {
        Command::Cluster(command) => ask(&find(connection)?, command).await,
        Command::Shell => Box::pin(shell::run(find(connection)?)).await,
        Command::Snapshot { command } => Box::pin(snapshot::run(&find(connection)?, command)).await,
        Command::Login(args) => Box::pin(login::run(connection, timeout, args)).await,
        Command::Context { command } => context::run(output, command),
        Command::Tls { command } => Box::pin(tls::run(&find(connection)?, command)).await,
        // It asks the cluster that it starts, and no context counts.
        Command::Dev(args) => Box::pin(dev::run(&given(connection)?, args)).await,
    }
}

/// Reads a variable of the environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Asks the cluster and prints the answer.
async fn ask(context: &Context, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Leader { command } => leader::run(context, command).await,
        ClusterCommand::Status => {
            let status = context.client()?.status().await?;
            context.output.data(&status, output::status)
        }
        ClusterCommand::WhoAmI => {
            let identity = context.client()?.who_am_i().await?;
            context.output.data(&identity, output::caller_identity)
        }
        ClusterCommand::Workers => worker::list(context).await,
        ClusterCommand::Worker { command } => Box::pin(worker::run(context, command)).await,
        ClusterCommand::Task { command } => Box::pin(task::run(context, command)).await,
        ClusterCommand::Queue { command, limit } => queue::run(context, command, limit).await,
        ClusterCommand::Job { command } => job::run(context, command).await,
        ClusterCommand::Schedule { command } => Box::pin(schedule::run(context, command)).await,
        ClusterCommand::Token { command } => token::run(context, command).await,
        ClusterCommand::User { command } => user::run(context, command).await,
        ClusterCommand::Config { command } => config::run(context, command).await,
        ClusterCommand::Member { command } => Box::pin(member::run(context, command)).await,
        ClusterCommand::Upgrade { command } => upgrade::run(context, command).await,
        ClusterCommand::Orphan { command } => orphan::run(context, command).await,
        ClusterCommand::Audit(args) => audit::run(context, args).await,
        ClusterCommand::Watch(args) => Box::pin(watch::run(context, args)).await,
        ClusterCommand::MassLoss { command } => mass_loss::run(context, command).await,
    }
}

/// Returns an order about new tasks on a worker, without a deadline.
fn scheduling_order(worker_id: String, order: v1::SchedulingOrder) -> v1::SetSchedulingRequest {
    v1::SetSchedulingRequest { worker_id, order: order.into(), timeout: None }
}
