//! Configuration of the worker: a flag overrides the environment, which overrides the file, which
//! overrides the default.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
use cluster_state::WorkerId;
use credentials::{Files, TlsConfig, TrustFiles};
use daemon::config::{ConfigError, Key, Settings, Value, text};
use daemon::logging::{LogFilter, LogFormat};

use crate::join_token::JoinToken;
use crate::managed_files::ManagedFiles;

mod devices;
mod keys;
mod validate;

pub use devices::DeviceLists;

/// Name of the file in the data directory with what the cluster says about trust.
const TRUSTED: &str = "trusted.crt";

/// The resolved configuration.
#[derive(Debug, Clone, PartialEq)]
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
    /// File with the token; absent once it is read.
    pub join_token_file: Option<PathBuf>,
    /// Processors to offer; detected when absent.
    pub cpu: Option<f64>,
    /// Memory to offer in MiB; detected when absent.
    pub memory_mb: Option<u64>,
    /// Disk space to offer in MiB; detected when absent.
    pub storage_mb: Option<u64>,
    /// GPUs to offer; detected when absent.
    pub gpu: Option<u64>,
    /// Devices of other kinds, and the GPUs to use.
    pub devices: DeviceLists,
    /// Kind of executor that runs the attempts.
    pub executor: ExecutorKind,
    /// Use of control groups for attempts.
    pub cgroups: CgroupUse,
    /// Certificates of this worker; without them nothing is encrypted.
    pub tls: TlsConfig,
    /// Listen beyond this machine without any protection.
    pub insecure: bool,
    /// Variables of the worker's environment that tasks inherit, in addition to those that any
    /// program may expect.
    pub pass_env: Vec<String>,
    /// Time that attempts have to end when the worker shuts down.
    pub shutdown_grace: Duration,
    /// Filter of log events, in the syntax of `RUST_LOG`.
    pub log_level: LogFilter,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Age at which logs are deleted.
    pub age: Duration,
    /// Number of attempts whose logs are kept.
    pub attempts: usize,
    /// Bytes that logs and directories may take together; a tenth of the disk when absent.
    pub bytes: Option<u64>,
}

/// Kind of executor that runs attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// Runs attempts as processes.
    Process,
    /// Runs nothing, for load tests.
    Noop,
}

/// Use of control groups for attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupUse {
    /// None.
    Off,
    /// Each attempt has one.
    On,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            worker_id: unnamed(),
            listen: (Ipv4Addr::LOCALHOST, 50_052).into(),
            advertise: None,
            data_dir: PathBuf::new(),
            masters: Vec::new(),
            join_token: None,
            join_token_file: None,
            cpu: None,
            memory_mb: None,
            storage_mb: None,
            gpu: None,
            devices: DeviceLists::default(),
            executor: ExecutorKind::Process,
            cgroups: CgroupUse::Off,
            tls: TlsConfig::default(),
            insecure: false,
            pass_env: Vec::new(),
            shutdown_grace: Duration::from_secs(10),
            log_level: LogFilter::default(),
            log_format: LogFormat::Text,
            limits: Limits::default(),
            retention: RetentionConfig::default(),
            labels: BTreeMap::new(),
        }
    }
}

/// Stands for the name until it is read: a configuration without one is refused.
#[expect(clippy::expect_used, reason = "the text is a name")]
fn unnamed() -> WorkerId {
    "unnamed".parse().expect("the text is a name")
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_bytes_max: 64 << 20,
            attempts_max: 100_000,
            spool_bytes_max: 64 << 20,
            disk_free_mb_min: 64,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { age: Duration::from_hours(7 * 24), attempts: 10_000, bytes: None }
    }
}

impl Config {
    /// Returns the files that the worker keeps by itself, if no others are given: it has them already,
    /// or its join token says by what the cluster is known.
    #[must_use]
    pub fn managed_files(&self) -> Option<ManagedFiles> {
        if self.tls.files().is_some() {
            return None;
        }
        let managed = ManagedFiles::of(&self.data_dir);
        let can_join = self.join_token.as_ref().is_some_and(|token| token.root_digest().is_some());
        (can_join || managed.exist()).then_some(managed)
    }

    /// Returns the files of the worker's certificates, given or kept by itself; none where nothing is
    /// encrypted.
    #[must_use]
    pub fn files(&self) -> Option<Files> {
        self.tls.files().or_else(|| Some(self.managed_files()?.files()))
    }

    /// Returns the file with what the cluster says about trust beside `tls.ca`.
    #[must_use]
    pub fn trusted_beside(&self) -> PathBuf {
        self.data_dir.join(TRUSTED)
    }

    /// Returns the files of the worker's certificates, and what the cluster says beside them.
    #[must_use]
    pub fn trust_files(&self) -> Option<TrustFiles> {
        let cluster = self.tls.files().map(|_| self.trusted_beside());
        Some(TrustFiles { cluster, ..self.files()?.into() })
    }

    /// Returns true if the worker renews its certificate.
    #[must_use]
    pub fn renews(&self) -> bool {
        self.tls.renew || self.managed_files().is_some()
    }
}

impl Settings for Config {
    fn keys() -> &'static [Key<Self>] {
        &keys::KEYS
    }

    fn complete(self) -> Result<Self, ConfigError> {
        validate::complete(self)
    }
}

impl Value for ExecutorKind {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "process" => Ok(Self::Process),
            "noop" => Ok(Self::Noop),
            other => Err(format!("'{other}' is neither process nor noop")),
        }
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(match self {
            Self::Process => "process",
            Self::Noop => "noop",
        })
    }
}

impl Value for CgroupUse {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            other => Err(format!("'{other}' is neither on nor off")),
        }
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(match self {
            Self::Off => "off",
            Self::On => "on",
        })
    }
}

/// Command line of a worker, which [`daemon::config::invocation`] reads.
#[must_use]
pub fn command() -> Command {
    let command = Command::new("worker")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs tasks for a CloudAI cluster");
    daemon::config::command::<Config>(command)
}

#[cfg(test)]
mod tests;
