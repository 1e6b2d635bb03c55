//! Where log lines go: standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error("log.level: '{level}' is neither a level nor a list of directives")]
    Level {
        /// As configured.
        level: String,
        /// What the parser says.
        source: ParseError,
    },
    /// The process logs already.
    #[error("logging is set up already")]
    Taken,
}

/// Parts that tell of every message they handle, in words that only their authors need; a
/// directive of the operator's for one of them wins.
const QUIET: &str = "openraft=error,h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn";

/// Sends log lines to standard error from now on.
///
/// # Errors
///
/// As [`TelemetryError`] says.
pub fn start(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.level))
        .map_err(|source| TelemetryError::Level { level: config.level.clone(), source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| TelemetryError::Taken)
}

/// Ends the process when any part of it panics: a master that is half dead is worse than none.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panicked: this process ends");
        std::process::abort();
    }));
}
