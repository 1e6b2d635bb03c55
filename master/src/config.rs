//! Configuration of a master: by flags, environment, file and defaults, in falling order of
//! precedence.

#[cfg(test)]
mod fuzz_tests;
mod keys;
mod oidc;
mod settings;
mod validate;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
use cluster_state::{
    AuditSettings, AutopilotSettings, Limits, MasterId, ReconnectSettings, RetentionSettings,
    SchedulerSettings, SettingKey, UpgradeSettings, WorkerSettings,
};
use credentials::TlsConfig;
use daemon::config::{ConfigError, InvocationError, Key};
use daemon::logging::{LogFilter, LogFormat};

pub use self::oidc::{ClaimRoles, OidcConfig, ScopeClaim};
pub(crate) use settings::{SettingError, changed, shown};
pub use value::{Addresses, Anonymous, Bytes, Names, TimeoutRange};

use crate::offline::Offline;

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This master's number; never reused within a cluster.
    pub node_id: MasterId,
    /// Name of the cluster, the same on each master.
    pub cluster_name: String,
    /// The first members; the same on each of them. A master with data founds and joins nothing, and
    /// looks there for members that have moved.
    pub initial_cluster: BTreeMap<MasterId, String>,
    /// `host:port` of masters of the cluster to join.
    pub join: Addresses,
    /// Zone that this master is in; empty if unknown.
    pub zone: String,
    /// Directory of the log and the state.
    pub data_dir: PathBuf,
    /// Address on which gRPC listens.
    pub grpc_listen: String,
    /// Address under which others reach this master's gRPC; filled in by validation when it was not
    /// given.
    pub grpc_advertise: String,
    /// Address on which HTTP listens.
    pub http_listen: String,
    /// Further names under which HTTP is reached, as behind a proxy on the same machine.
    pub http_names: Names,
    /// Certificates of this master; without them nothing is encrypted.
    pub tls: TlsConfig,
    /// Certificates that this master issues.
    pub issuing: IssuingConfig,
    /// Serve beyond this machine without TLS.
    pub insecure: bool,
    /// Rights of callers without a token, and the first tokens.
    pub access: AccessConfig,
    /// Raft's clocks.
    pub raft: RaftConfig,
    /// The reconnection monitor. Like every setting of the cluster, this counts only until the
    /// cluster has settings.
    pub reconnect: ReconnectSettings,
    /// Times that workers are granted when they register.
    pub worker: WorkerSettings,
    /// Choice of workers for tasks.
    pub scheduler: SchedulerSettings,
    /// Bounds on what is held in memory.
    pub limits: LimitsConfig,
    /// Retention of finished tasks.
    pub retention: RetentionSettings,
    /// Votes that are given and taken without an operator.
    pub autopilot: AutopilotSettings,
    /// The feature level.
    pub upgrade: UpgradeSettings,
    /// The trail of orders.
    pub audit: AuditConfig,
    /// Backups that this master saves by itself.
    pub backup: BackupConfig,
    /// Filter and format of log events.
    pub log: LogConfig,
    /// Settings of the cluster that a flag, a variable or the file gives.
    pub given: BTreeSet<SettingKey>,
}

/// Keys under `issuing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuingConfig {
    /// Lifetime of certificates.
    pub life: Duration,
}

impl Default for IssuingConfig {
    fn default() -> Self {
        // Long enough that a week without masters or workers costs nobody a certificate, and short
        // enough that a stolen one is of no use for long.
        Self { life: Duration::from_hours(30 * 24) }
    }
}

/// Keys under `access`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// Rights of callers without a token; filled in by validation when it was not given.
    pub anonymous: Option<Anonymous>,
    /// True if they may read metrics; filled in so, too.
    pub anonymous_metrics: Option<bool>,
    /// File with tokens from before the cluster has any of its own; empty for none.
    pub token_file: PathBuf,
    /// Identity provider whose tokens are good, too.
    pub oidc: OidcConfig,
}

/// Keys under `raft`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftConfig {
    /// Interval between leader heartbeats.
    pub heartbeat_interval: Duration,
    /// Silence of the leader after which a follower stands for election.
    pub election_timeout: TimeoutRange,
    /// Log entries after which a snapshot is made.
    pub snapshot_every: u64,
    /// Bytes of them after which one is made.
    pub snapshot_every_bytes: Bytes,
    /// Log entries kept behind a snapshot.
    pub log_kept: u64,
    /// Bytes of them that are kept at most.
    pub log_kept_bytes: Bytes,
    /// Bytes of the log that are kept for a follower further behind.
    pub log_held_bytes: Bytes,
}

/// Keys under `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Largest request body.
    pub request_bytes: Bytes,
    /// Proposals that may wait for their commit at once.
    pub inflight_proposals: usize,
    /// Bytes of proposals that may wait for their commit at once.
    pub inflight_bytes: Bytes,
    /// Memory that live tasks may take, as every master counts it.
    pub live_bytes: Bytes,
    /// Bytes of request bodies on their way in at once.
    pub body_bytes: Bytes,
    /// HTTP requests under way at once, those that wait included.
    pub http_connections: usize,
    /// Connections to the gRPC port open at once.
    pub grpc_connections: usize,
    /// Requests of one caller in a second; 0 for any number.
    pub requests_per_second: usize,
    /// Requests that may wait for something to happen at once: half of all at most, and filled in
    /// so by validation when it was not given.
    pub wait_requests: usize,
    /// Logs of tasks that may be read at once.
    pub log_streams: usize,
    /// Clients that may watch events at once.
    pub ws_clients: usize,
    /// Room on its disk below which this master counts as full; 0 for never. New tasks are refused
    /// while the leader is, or while the voters that are not are no quorum.
    pub disk_free_min: Bytes,
    /// Room kept in the data directory for starting on a full disk; 0 for none.
    pub disk_reserve: Bytes,
}

/// Keys under `backup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// Directory that this master saves backups to; empty for none.
    pub directory: PathBuf,
    /// Time between two of them.
    pub interval: Duration,
    /// Number of them that are kept.
    pub keep: u64,
}

/// Keys under `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// Number of orders kept.
    pub records: u64,
    /// Age at which they are forgotten.
    pub age: Duration,
    /// True if submissions of tasks are on record, too.
    pub submissions: bool,
    /// File to which this master appends the trail, within the data directory if it is relative;
    /// empty for none.
    pub file: PathBuf,
    /// Bytes after which the file is put aside.
    pub file_bytes: Bytes,
    /// Number of files put aside that are kept.
    pub file_keep: u64,
}

/// Keys under `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Level, or directives such as `info,openraft=warn`.
    pub level: LogFilter,
    /// For people or for machines.
    pub format: LogFormat,
}

impl LimitsConfig {
    /// Returns the requests that one caller may make in a second; none for any number.
    #[must_use]
    pub fn requests_of_caller(&self) -> Option<NonZeroU32> {
        let bound = u32::try_from(self.requests_per_second).unwrap_or(u32::MAX);
        NonZeroU32::new(bound)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: MasterId(0),
            cluster_name: "cloudai".to_owned(),
            initial_cluster: BTreeMap::new(),
            join: Addresses::default(),
            zone: String::new(),
            data_dir: PathBuf::new(),
            grpc_listen: "127.0.0.1:50051".to_owned(),
            grpc_advertise: String::new(),
            http_listen: "127.0.0.1:8080".to_owned(),
            http_names: Names::default(),
            tls: TlsConfig::default(),
            issuing: IssuingConfig::default(),
            insecure: false,
            access: AccessConfig::default(),
            raft: RaftConfig::default(),
            reconnect: ReconnectSettings::default(),
            worker: WorkerSettings::default(),
            scheduler: SchedulerSettings::default(),
            limits: LimitsConfig::default(),
            retention: RetentionSettings::default(),
            autopilot: AutopilotSettings::default(),
            upgrade: UpgradeSettings::default(),
            audit: AuditConfig::default(),
            backup: BackupConfig::default(),
            log: LogConfig { level: LogFilter::default(), format: LogFormat::Text },
            given: BTreeSet::new(),
        }
    }
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            // As patient as the usual second, because a leader's lease is waited out on top.
            election_timeout: TimeoutRange {
                min: Duration::from_millis(250),
                max: Duration::from_millis(400),
            },
            // Some minutes of a busy day.
            snapshot_every: 200_000,
            // More than those usually take: this is for large ones.
            snapshot_every_bytes: Bytes::mib(256),
            // A master that was away for a moment needs no snapshot.
            log_kept: 100_000,
            log_kept_bytes: Bytes::mib(256),
            // Ten minutes at twenty thousand entries a second: a snapshot of gigabytes is sent and
            // opened in that time.
            log_held_bytes: Bytes::mib(4_096),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            request_bytes: Bytes::mib(8),
            // Sixteen thousand clients may each have one write under way.
            inflight_proposals: 16_384,
            inflight_bytes: Bytes::mib(128),
            // Four million small tasks.
            live_bytes: Bytes(usize::try_from(Limits::LIVE_BYTES_DEFAULT).unwrap_or(usize::MAX)),
            log_streams: 1_024,
            // Sixteen bodies of the largest size, or thousands of the usual one.
            body_bytes: Bytes::mib(128),
            http_connections: 8_192,
            // A fleet of ten thousand dials a new leader at once, and there are clients beside it.
            grpc_connections: 12_288,
            requests_per_second: 0,
            wait_requests: 0,
            // Dashboards and operators; each may have some tens of kilobytes under way.
            ws_clients: 1_024,
            // What the tables in memory, a snapshot of them and the log need before anything shrinks.
            disk_free_min: Bytes::mib(256),
            // Opening writes up to 64 MiB of the log into tables once more, and then goes on.
            disk_reserve: Bytes::mib(128),
        }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        let AuditSettings { records, age, submissions } = AuditSettings::default();
        let (file, file_bytes) = (PathBuf::new(), Bytes::mib(64));
        Self { records, age, submissions, file, file_bytes, file_keep: 7 }
    }
}

impl Default for BackupConfig {
    fn default() -> Self {
        let interval = Duration::from_secs(24 * 60 * 60);
        Self { directory: PathBuf::new(), interval, keep: 7 }
    }
}

impl daemon::config::Settings for Config {
    fn keys() -> &'static [Key<Self>] {
        &keys::KEYS
    }

    fn on_given(&mut self, path: &'static str) {
        self.given.extend(SettingKey::at(path));
    }

    fn complete(self) -> Result<Self, ConfigError> {
        validate::complete(self)
    }
}

/// Order of a command line.
#[derive(Debug)]
pub enum Invocation {
    /// Run a master.
    Run(Box<Config>),
    /// Print what would be in force, as this TOML.
    Check(String),
    /// Do something with data directories.
    Offline(Offline),
}

/// Reads the command line, the environment through `variable`, and the file they name.
pub fn parse(
    args: impl IntoIterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, InvocationError> {
    let command = Command::new("master")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A replica of the CloudAI master cluster");
    let command = daemon::config::command::<Config>(command).subcommands(Offline::commands());
    let matches = command.try_get_matches_from(args)?;
    if let Some(order) = Offline::of(&matches)? {
        return Ok(Invocation::Offline(order));
    }
    Ok(match daemon::config::invocation(&matches, variable)? {
        daemon::config::Invocation::Run(config) => Invocation::Run(config),
        daemon::config::Invocation::Check(text) => Invocation::Check(text),
    })
}

#[cfg(test)]
mod tests;
