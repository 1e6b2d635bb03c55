//! The `worker` binary: reads the configuration, runs the agent, and stops it on a signal.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use worker::agent::Agent;
use worker::config::{Config, ConfigError, Layer, LogFormat};
use worker::host::Host;
use worker::keeper::{self, KeeperArgs};

/// Exit code for a command line or configuration that cannot be used.
const USAGE: u8 = 2;
/// Time beyond the grace period of the attempts, for the last results and the goodbye.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(15);

#[derive(Debug, Parser)]
#[command(
    name = "worker",
    version,
    about = "Runs tasks for a CloudAI cluster",
    args_conflicts_with_subcommands = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Args)]
struct Run {
    /// TOML file with any of these keys
    #[arg(long, env = "CLOUDAI_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    layer: Layer,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work with configuration files
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run as the process that ends the processes of a killed worker
    #[command(hide = true)]
    Keeper(KeeperArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a file and print the resulting configuration
    Check {
        /// The file
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let CommandLine { command, run } = CommandLine::parse();
    let outcome = match command {
        Some(Command::Config(ConfigCommand::Check { file })) => check(run.layer, &file),
        Some(Command::Keeper(args)) => keep(&args),
        None => start(run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not be set up yet, or may be filtered.
            writeln!(io::stderr(), "worker: {error:#}").unwrap_or_default();
            if error.is::<ConfigError>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn check(layer: Layer, file: &std::path::Path) -> anyhow::Result<()> {
    let config = Config::resolve(layer, Some(file))?;
    io::stdout().write_all(toml::to_string(&config)?.as_bytes())?;
    Ok(())
}

/// Runs the keeper. Its messages appear among those of the worker, in the format for people.
fn keep(args: &KeeperArgs) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    Ok(keeper::run(args)?)
}

fn start(run: Run) -> anyhow::Result<()> {
    let config = Config::resolve(run.layer, run.config.as_deref())?;
    set_up_logging(&config)?;
    abort_on_panic();
    if config.insecure && !config.listen.ip().is_loopback() {
        warn!(listen = %config.listen, "insecure: whoever reaches this address can run programs");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&config))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let host = Host::own().context("cannot read the limit of open files")?;
    let mut agent = Agent::start(config, host).await?;
    notify(NotifyState::Ready);

    let failure = tokio::select! {
        failure = agent.failed() => Some(failure),
        name = signals.next() => {
            info!(signal = name, "shutting down");
            None
        }
    };
    notify(NotifyState::Stopping);
    if let Some(failure) = failure {
        agent.kill().await;
        return Err(failure.into());
    }
    let grace = config.shutdown_grace;
    let hard = tokio::select! {
        () = agent.stop(grace) => return Ok(()),
        name = signals.next() => name,
        () = tokio::time::sleep(grace + SHUTDOWN_MARGIN) => "none",
    };
    warn!(signal = hard, "stopping hard");
    agent.kill().await;
    anyhow::bail!("stopped before the shutdown was complete")
}

/// Signals that stop the worker.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal is closed, or somebody wants the worker to reload its configuration, which it
    /// cannot.
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
            hangup: signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "cannot notify service manager");
    }
}

fn set_up_logging(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_level)
        .with_context(|| format!("log_level '{}' is not a filter", config.log_level))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// A part that panicked leaves the rest in an unknown state: it is better to start again.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        error!(%panic, "panicked, aborting");
        std::process::abort();
    }));
}
