//! One source of configuration: any key may be absent.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_state::WorkerId;
use serde::Deserialize;

use super::{Config, ConfigError, ExecutorKind, Limits, LogFormat, RetentionConfig, text};
use crate::join_token::JoinToken;

const LISTEN_PORT: u16 = 50_052;
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
const LOG_BYTES_MAX: u64 = 64 << 20;
const ATTEMPTS_MAX: usize = 100_000;
const SPOOL_BYTES_MAX: usize = 64 << 20;
const DISK_FREE_MB_MIN: u64 = 64;
const RETENTION_AGE: Duration = Duration::from_hours(7 * 24);
const RETENTION_ATTEMPTS: usize = 10_000;

/// Configuration keys as flags, variables and entries of a file.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layer {
    /// Name of this worker in the registry
    #[arg(long, env = "CLOUDAI_WORKER_ID", value_name = "ID")]
    worker_id: Option<WorkerId>,
    /// Address to listen on [default: 127.0.0.1:50052]
    #[arg(long, env = "CLOUDAI_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address at which masters reach this worker [default: where it listens]
    #[arg(long, env = "CLOUDAI_ADVERTISE", value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Directory for identity, results and logs
    #[arg(long, env = "CLOUDAI_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Masters to register with; without any, the worker waits to be called
    #[arg(long, env = "CLOUDAI_MASTERS", value_name = "HOST:PORT,…", value_delimiter = ',')]
    masters: Vec<String>,
    /// Token that admits this worker if nobody has registered it
    #[arg(
        long,
        env = "CLOUDAI_JOIN_TOKEN",
        hide_env_values = true,
        value_name = "NAME.SECRET",
        conflicts_with = "join_token_file"
    )]
    join_token: Option<JoinToken>,
    /// File with that token
    #[arg(long, env = "CLOUDAI_JOIN_TOKEN_FILE", value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// Processors to offer [default: all of the machine]
    #[arg(long, env = "CLOUDAI_CPU", value_name = "N")]
    cpu: Option<f64>,
    /// Memory to offer, in MiB [default: all of the machine]
    #[arg(long, env = "CLOUDAI_MEMORY_MB", value_name = "MIB")]
    memory_mb: Option<u64>,
    /// Disk space to offer, in MiB [default: the free space of the data directory]
    #[arg(long, env = "CLOUDAI_STORAGE_MB", value_name = "MIB")]
    storage_mb: Option<u64>,
    /// GPUs to offer [default: all of the machine]
    #[arg(long, env = "CLOUDAI_GPU", value_name = "N")]
    gpu: Option<u64>,
    /// Executor that runs attempts [default: process]
    #[arg(long, env = "CLOUDAI_EXECUTOR")]
    executor: Option<ExecutorKind>,
    /// Listen beyond this machine without any protection
    #[arg(long, env = "CLOUDAI_INSECURE", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL")]
    insecure: Option<bool>,
    /// Variables of the worker's environment that tasks inherit, in addition to PATH, HOME, LANG,
    /// LC_*, TZ, USER, LOGNAME, SHELL and TMPDIR; may be repeated
    #[arg(long, env = "CLOUDAI_PASS_ENV", value_name = "NAME,…", value_delimiter = ',')]
    pass_env: Vec<String>,
    /// Time that attempts have to end when the worker shuts down [default: 10s]
    #[arg(long, env = "CLOUDAI_SHUTDOWN_GRACE", value_name = "DURATION",
        value_parser = text::parse_duration)]
    #[serde(deserialize_with = "text::optional_duration::deserialize")]
    shutdown_grace: Option<Duration>,
    /// Events to log, in the syntax of `RUST_LOG`, which it overrides [default: info]
    #[arg(long, env = "CLOUDAI_LOG_LEVEL", value_name = "FILTER")]
    log_level: Option<String>,
    /// Format of log events [default: text]
    #[arg(long, env = "CLOUDAI_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    #[command(flatten)]
    limits: LimitsLayer,
    #[command(flatten)]
    retention: RetentionLayer,
    /// Label for constraints of tasks; may be repeated
    #[arg(long = "label", env = "CLOUDAI_LABELS", value_name = "KEY=VALUE",
        value_parser = text::parse_label, value_delimiter = ',')]
    #[serde(deserialize_with = "text::labels::deserialize")]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsLayer {
    /// Bytes to keep of each output of an attempt [default: 67108864]
    #[arg(long = "limits-log-bytes-max", env = "CLOUDAI_LIMITS_LOG_BYTES_MAX", value_name = "N")]
    log_bytes_max: Option<u64>,
    /// Attempts that may run or wait to be confirmed [default: 100000]
    #[arg(long = "limits-attempts-max", env = "CLOUDAI_LIMITS_ATTEMPTS_MAX", value_name = "N")]
    attempts_max: Option<usize>,
    /// Bytes of results that may wait to be confirmed [default: 67108864]
    #[arg(
        long = "limits-spool-bytes-max",
        env = "CLOUDAI_LIMITS_SPOOL_BYTES_MAX",
        value_name = "N"
    )]
    spool_bytes_max: Option<usize>,
    /// Free MiB on the disk below which the worker takes no tasks [default: 64]
    #[arg(
        long = "limits-disk-free-mb-min",
        env = "CLOUDAI_LIMITS_DISK_FREE_MB_MIN",
        value_name = "MIB"
    )]
    disk_free_mb_min: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetentionLayer {
    /// Time for which logs of ended attempts are kept [default: 7days]
    #[arg(long = "retention-age", env = "CLOUDAI_RETENTION_AGE", value_name = "DURATION",
        value_parser = text::parse_duration)]
    #[serde(deserialize_with = "text::optional_duration::deserialize")]
    age: Option<Duration>,
    /// Number of attempts whose logs are kept [default: 10000]
    #[arg(long = "retention-attempts", env = "CLOUDAI_RETENTION_ATTEMPTS", value_name = "N")]
    attempts: Option<usize>,
    /// Bytes that logs and directories of ended attempts may take together [default: a tenth of the
    /// disk]
    #[arg(long = "retention-bytes", env = "CLOUDAI_RETENTION_BYTES", value_name = "N")]
    bytes: Option<u64>,
}

impl Layer {
    /// Reads the keys of a TOML file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            ConfigError::Malformed { path: path.to_owned(), line, message }
        })
    }

    /// Combines two layers: these keys, and those of `lower` where one is absent.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        let names_token = self.join_token.is_some() || self.join_token_file.is_some();
        let lower_token =
            if names_token { (None, None) } else { (lower.join_token, lower.join_token_file) };
        let or_list = |upper: Vec<String>, lower| if upper.is_empty() { lower } else { upper };
        Self {
            worker_id: self.worker_id.or(lower.worker_id),
            listen: self.listen.or(lower.listen),
            advertise: self.advertise.or(lower.advertise),
            data_dir: self.data_dir.or(lower.data_dir),
            masters: or_list(self.masters, lower.masters),
            join_token: self.join_token.or(lower_token.0),
            join_token_file: self.join_token_file.or(lower_token.1),
            cpu: self.cpu.or(lower.cpu),
            memory_mb: self.memory_mb.or(lower.memory_mb),
            storage_mb: self.storage_mb.or(lower.storage_mb),
            gpu: self.gpu.or(lower.gpu),
            executor: self.executor.or(lower.executor),
            insecure: self.insecure.or(lower.insecure),
            pass_env: or_list(self.pass_env, lower.pass_env),
            shutdown_grace: self.shutdown_grace.or(lower.shutdown_grace),
            log_level: self.log_level.or(lower.log_level),
            log_format: self.log_format.or(lower.log_format),
            limits: LimitsLayer {
                log_bytes_max: self.limits.log_bytes_max.or(lower.limits.log_bytes_max),
                attempts_max: self.limits.attempts_max.or(lower.limits.attempts_max),
                spool_bytes_max: self.limits.spool_bytes_max.or(lower.limits.spool_bytes_max),
                disk_free_mb_min: self.limits.disk_free_mb_min.or(lower.limits.disk_free_mb_min),
            },
            retention: RetentionLayer {
                age: self.retention.age.or(lower.retention.age),
                attempts: self.retention.attempts.or(lower.retention.attempts),
                bytes: self.retention.bytes.or(lower.retention.bytes),
            },
            labels: if self.labels.is_empty() { lower.labels } else { self.labels },
        }
    }

    /// Fills in the defaults.
    pub(super) fn complete(self) -> Result<Config, ConfigError> {
        let missing = |key, flag, variable| ConfigError::Missing { key, flag, variable };
        Ok(Config {
            worker_id: self
                .worker_id
                .ok_or_else(|| missing("worker_id", "worker-id", "CLOUDAI_WORKER_ID"))?,
            listen: self.listen.unwrap_or((Ipv4Addr::LOCALHOST, LISTEN_PORT).into()),
            advertise: self.advertise,
            data_dir: self
                .data_dir
                .ok_or_else(|| missing("data_dir", "data-dir", "CLOUDAI_DATA_DIR"))?,
            masters: self.masters,
            join_token: read_token(self.join_token, self.join_token_file)?,
            cpu: self.cpu,
            memory_mb: self.memory_mb,
            storage_mb: self.storage_mb,
            gpu: self.gpu,
            executor: self.executor.unwrap_or(ExecutorKind::Process),
            insecure: self.insecure.unwrap_or(false),
            pass_env: self.pass_env,
            shutdown_grace: self.shutdown_grace.unwrap_or(SHUTDOWN_GRACE),
            log_level: self.log_level.unwrap_or_else(default_log_level),
            log_format: self.log_format.unwrap_or(LogFormat::Text),
            limits: Limits {
                log_bytes_max: self.limits.log_bytes_max.unwrap_or(LOG_BYTES_MAX),
                attempts_max: self.limits.attempts_max.unwrap_or(ATTEMPTS_MAX),
                spool_bytes_max: self.limits.spool_bytes_max.unwrap_or(SPOOL_BYTES_MAX),
                disk_free_mb_min: self.limits.disk_free_mb_min.unwrap_or(DISK_FREE_MB_MIN),
            },
            retention: RetentionConfig {
                age: self.retention.age.unwrap_or(RETENTION_AGE),
                attempts: self.retention.attempts.unwrap_or(RETENTION_ATTEMPTS),
                bytes: self.retention.bytes,
            },
            labels: self.labels.into_iter().collect(),
        })
    }
}

fn read_token(
    token: Option<JoinToken>,
    file: Option<PathBuf>,
) -> Result<Option<JoinToken>, ConfigError> {
    let Some(path) = file else { return Ok(token) };
    if token.is_some() {
        return Err(ConfigError::NoToken { path, reason: "join_token is given too".to_owned() });
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.into())),
        Err(error) => Err(ConfigError::NoToken { path, reason: error.to_string() }),
    }
}

fn default_log_level() -> String {
    std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned())
}
