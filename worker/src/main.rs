//! The `worker` binary: reads the configuration, runs the agent, and stops it on a signal.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use daemon::config::{ConfigError, Invocation, invocation};
use daemon::exit::{USAGE, abort_on_panic, complain};
use daemon::logging::{self, LogFilter, LogFormat};
use daemon::service_manager::{NotifyState, notify};
use daemon::signals::{StopSignal, StopSignals};
use tracing::{info, warn};
use worker::agent::Agent;
use worker::certificates;
use worker::config::{self, Config};
use worker::host::Host;
use worker::keeper::{self, KeeperArgs};

const PROGRAM: &str = "worker";
/// Subcommand of the process that ends the processes of a killed worker.
const KEEPER: &str = "keeper";
/// Time beyond the grace period of the attempts, for the last results and the goodbye.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let keeper = KeeperArgs::augment_args(Command::new(KEEPER).hide(true));
    let matches = config::command().subcommand(keeper).get_matches();
    let outcome = match matches.subcommand_matches(KEEPER) {
        Some(matches) => keep(matches),
        None => obey(&matches),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Logging may not be set up yet, or may be filtered.
        Err(error) => {
            let code = if error.is::<ConfigError>() { USAGE } else { 1 };
            complain(PROGRAM, &*error, code)
        }
    }
}

/// Runs the keeper. Its messages appear among those of the worker, in the format for people.
fn keep(matches: &ArgMatches) -> anyhow::Result<()> {
    let args = KeeperArgs::from_arg_matches(matches)?;
    logging::start(&LogFilter::default(), LogFormat::Text)?;
    Ok(keeper::run(&args)?)
}

fn obey(matches: &ArgMatches) -> anyhow::Result<()> {
    match invocation::<Config>(matches, |name| std::env::var(name).ok())? {
        Invocation::Run(config) => start(&config),
        Invocation::Check(text) => Ok(io::stdout().write_all(text.as_bytes())?),
    }
}

fn start(config: &Config) -> anyhow::Result<()> {
    logging::start(&config.log_level, config.log_format)?;
    abort_on_panic();
    let is_open = config.insecure && config.files().is_none();
    if is_open && !config.listen.ip().is_loopback() {
        warn!(listen = %config.listen, "insecure: whoever reaches this address can run programs");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    // SIGHUP: the terminal is closed, or somebody wants the worker to reload its configuration,
    // which it cannot.
    let mut signals = StopSignals::listen(StopSignal::ALL).context("cannot wait for signals")?;
    let host = Host::own().context("cannot read the limit of open files")?;
    tokio::select! {
        enrolled = certificates::enroll(config) => enrolled?,
        signal = signals.next() => {
            info!(signal = signal.name(), "stopped before this worker had a certificate");
            return Ok(());
        }
    }
    let mut agent = Agent::start(config, host).await?;
    notify(&[NotifyState::Ready]);

    let failure = tokio::select! {
        failure = agent.failed() => Some(failure),
        signal = signals.next() => {
            info!(signal = signal.name(), "shutting down");
            None
        }
    };
    notify(&[NotifyState::Stopping]);
    if let Some(failure) = failure {
        agent.kill().await;
        return Err(failure.into());
    }
    let grace = config.shutdown_grace;
    let hard = tokio::select! {
        () = agent.stop(grace) => return Ok(()),
        signal = signals.next() => signal.name(),
        () = tokio::time::sleep(grace + SHUTDOWN_MARGIN) => "none",
    };
    warn!(signal = hard, "stopping hard");
    agent.kill().await;
    anyhow::bail!("stopped before the shutdown was complete")
}
