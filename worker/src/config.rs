//! Configuration of the worker: a flag overrides the environment, which overrides the file, which
//! overrides the default.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use cluster_state::WorkerId;
use proto::limits::ATTEMPTS_HELD_MAX;
use proto::{address, channel};
use serde::{Deserialize, Serialize};

use crate::join_token::JoinToken;

mod layer;
mod text;

pub use layer::Layer;

/// The resolved configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The worker's name.
    pub worker_id: WorkerId,
    /// Address on which the worker listens.
    pub listen: SocketAddr,
    /// Address under which masters reach the worker; derived from `listen` when absent.
    pub advertise: Option<String>,
    /// Data directory: identity, results, logs.
    pub data_dir: PathBuf,
    /// Masters to register with; without any, the worker waits for a call.
    pub masters: Vec<String>,
    /// Token that admits the worker if no operator has registered it; displayed without its secret.
    pub join_token: Option<JoinToken>,
    /// Processors to offer; detected when absent.
    pub cpu: Option<f64>,
    /// Memory to offer in MiB; detected when absent.
    pub memory_mb: Option<u64>,
    /// Disk space to offer in MiB; detected when absent.
    pub storage_mb: Option<u64>,
    /// GPUs to offer; detected when absent.
    pub gpu: Option<u64>,
    /// Kind of executor that runs the attempts.
    pub executor: ExecutorKind,
    /// Listen beyond this machine without any protection.
    pub insecure: bool,
    /// Variables of the worker's environment that tasks inherit, in addition to those that any
    /// program may expect.
    pub pass_env: Vec<String>,
    /// Time that attempts have to end when the worker shuts down.
    #[serde(with = "text::duration")]
    pub shutdown_grace: Duration,
    /// Filter of log events, in the syntax of `RUST_LOG`.
    pub log_level: String,
    /// Format of log events.
    pub log_format: LogFormat,
    /// Bounds on attempts, logs and results.
    pub limits: Limits,
    /// Retention of logs and directories.
    pub retention: RetentionConfig,
    /// Labels for constraints of tasks.
    pub labels: BTreeMap<String, String>,
}

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes kept of each output of an attempt.
    pub log_bytes_max: u64,
    /// Maximum number of attempts at the same time; the leader is told.
    pub attempts_max: usize,
    /// Bytes of results that may wait for the leader: with more, nothing new begins.
    pub spool_bytes_max: usize,
    /// Free space in MiB on the disk of the data directory below which nothing new begins.
    pub disk_free_mb_min: u64,
}

/// Retention of logs and directories of attempts that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetentionConfig {
    /// Age at which logs are deleted.
    #[serde(with = "text::duration")]
    pub age: Duration,
    /// Number of attempts whose logs are kept.
    pub attempts: usize,
    /// Bytes that logs and directories may take together; a tenth of the disk when absent.
    pub bytes: Option<u64>,
}

/// Kind of executor that runs attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// Runs attempts as processes.
    Process,
    /// Runs nothing, for load tests.
    Noop,
}

/// Format of log events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// Reason that the configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file is malformed.
    #[error("{}: line {line}: {message}", path.display())]
    Malformed {
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        message: String,
    },
    /// A key without a default is missing.
    #[error(
        "{key} is missing: give it as --{flag}, in the environment as {variable}, or in the file"
    )]
    Missing {
        key: &'static str,
        flag: &'static str,
        /// Environment variable of the key.
        variable: &'static str,
    },
    /// The file of the join token is not usable.
    #[error("join_token_file: {}: {reason}", path.display())]
    NoToken { path: PathBuf, reason: String },
    /// A token is given, but no master to present it to.
    #[error("join_token is given, but no masters: a worker that waits to be called needs no token")]
    TokenWithoutMasters,
    /// A value is out of range.
    #[error("{key} is {value}: {expected}")]
    OutOfRange {
        key: &'static str,
        value: String,
        /// Description of a valid value.
        expected: &'static str,
    },
    /// Anybody who reaches the address could run programs on this machine.
    #[error(
        "listen is {0}, which other machines reach, and nothing protects it: listen on a loopback address or set insecure = true"
    )]
    Unprotected(SocketAddr),
    /// The address to advertise cannot be called.
    #[error(
        "advertise is {0}, an address to listen on: name the host where masters reach this worker"
    )]
    Unspecified(String),
    /// The masters are on other machines and cannot call the address.
    #[error(
        "masters would have to reach this worker at {address}, which means their own machine to \
         those at {master}: give advertise, or listen, an address of this machine's network"
    )]
    OutOfReach {
        /// Address that the worker advertises.
        address: String,
        /// Master on another machine.
        master: String,
    },
}

impl Config {
    /// Resolves the configuration from the command line, which includes the environment, and a
    /// file.
    pub fn resolve(given: Layer, file: Option<&Path>) -> Result<Self, ConfigError> {
        let config = match file {
            Some(path) => given.or(Layer::read(path)?).complete()?,
            None => given.complete()?,
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && !self.insecure {
            return Err(ConfigError::Unprotected(self.listen));
        }
        if let Some(token) = &self.join_token {
            if !token.is_whole() {
                return Err(ConfigError::OutOfRange {
                    key: "join_token",
                    value: token.to_string(),
                    expected: "a name, a dot, and a secret are expected",
                });
            }
            if self.masters.is_empty() {
                return Err(ConfigError::TokenWithoutMasters);
            }
        }
        if let Some(cpu) = self.cpu
            && !is_processor_count(cpu)
        {
            return Err(ConfigError::OutOfRange {
                key: "cpu",
                value: cpu.to_string(),
                expected: "a number above 0 with at most three decimals is expected",
            });
        }
        if !(1..=ATTEMPTS_HELD_MAX).contains(&self.limits.attempts_max) {
            return Err(ConfigError::OutOfRange {
                key: "limits.attempts_max",
                value: self.limits.attempts_max.to_string(),
                expected: "1 to 250000 is expected",
            });
        }
        let limits = [
            ("limits.spool_bytes_max", self.limits.spool_bytes_max == 0),
            ("limits.log_bytes_max", self.limits.log_bytes_max == 0),
        ];
        if let Some((key, _)) = limits.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError::OutOfRange {
                key,
                value: "0".to_owned(),
                expected: "at least 1 is expected",
            });
        }
        let masters = self.masters.iter().map(|address| ("masters", address));
        for (key, address) in self.advertise.iter().map(|a| ("advertise", a)).chain(masters) {
            if channel::check_address(address).is_err() {
                return Err(ConfigError::OutOfRange {
                    key,
                    value: address.clone(),
                    expected: "host:port is expected",
                });
            }
        }
        self.check_reach()
    }

    /// Rejects an address that masters cannot call: such a worker looks healthy and gets no task
    /// done. Whether a host name means another machine shows only when a master is called, which
    /// refuses such an address itself.
    fn check_reach(&self) -> Result<(), ConfigError> {
        if let Some(advertised) = self.advertise.as_ref().filter(|at| address::is_unspecified(at)) {
            return Err(ConfigError::Unspecified(advertised.clone()));
        }
        let address = self.advertise.clone().unwrap_or_else(|| self.listen.to_string());
        let is_elsewhere = |master: &&String| {
            address::ip(master).is_some_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
        };
        match self.masters.iter().find(is_elsewhere) {
            Some(master) if address::is_loopback(&address) => {
                Err(ConfigError::OutOfReach { address, master: master.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn is_processor_count(cpu: f64) -> bool {
    let thousandths = cpu * 1_000.0;
    cpu.is_finite() && cpu > 0.0 && (thousandths - thousandths.round()).abs() < 1e-6
}

#[cfg(test)]
mod tests;
