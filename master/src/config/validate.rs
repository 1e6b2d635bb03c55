//! Checks rules that several values must keep together.

use std::time::Duration;

use cluster_state::Role;
use daemon::config::ConfigError;
use proto::address::{host, is_loopback, is_unspecified};

use super::{Anonymous, Config, RaftConfig};

/// Largest bound of requests a second: one a microsecond.
const REQUESTS_PER_SECOND_MAX: usize = 1_000_000;

/// Shortest interval: heartbeats that come more often would only keep masters busy.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Lifetimes of certificates: a renewal takes a moment, and clocks of machines differ; and a certificate
/// that lasts for years is made by hand.
const ISSUED_LIVES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_hours(366 * 24);

/// Shortest time between two backups: each reads the whole state.
const BACKUP_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Least bytes of a file of the trail: a few lines would not be worth a file.
const TRAIL_FILE_BYTES_MIN: u64 = 64 << 10;

/// Fills in what follows from other keys and refuses what does not fit together.
pub(super) fn complete(mut config: Config) -> Result<Config, ConfigError> {
    check_members(&config)?;
    check_tls(&config)?;
    check_issuing(&config)?;
    check_listeners(&config)?;

    let own = config.initial_cluster.get(&config.node_id);
    if config.grpc_advertise.is_empty() {
        config.grpc_advertise = own.unwrap_or(&config.grpc_listen).clone();
    } else if own.is_some_and(|own| *own != config.grpc_advertise) {
        let detail = format!("initial_cluster gives master {} another address", config.node_id);
        return Err(ConfigError::conflict("grpc_advertise", detail));
    }
    check_advertised(&config)?;
    config.access.oidc.check()?;
    complete_access(&mut config);
    check_clocks(&config.raft)?;
    check_settings(&config)?;
    if config.limits.wait_requests == 0 {
        config.limits.wait_requests = (config.limits.http_connections / 2).max(1);
    }
    check_limits(&config)?;
    check_backups(&config)?;
    if config.audit.file_bytes.as_u64() < TRAIL_FILE_BYTES_MIN {
        return Err(ConfigError::conflict("audit.file_bytes", "the least is 64KiB"));
    }
    Ok(config)
}

fn check_backups(config: &Config) -> Result<(), ConfigError> {
    if config.backup.interval < BACKUP_INTERVAL_MIN {
        let detail = format!("the shortest is {} s", BACKUP_INTERVAL_MIN.as_secs());
        return Err(ConfigError::conflict("backup.interval", detail));
    }
    if config.backup.keep == 0 {
        return Err(ConfigError::conflict("backup.keep", "at least one backup is kept"));
    }
    Ok(())
}

fn check_issuing(config: &Config) -> Result<(), ConfigError> {
    if !ISSUED_LIVES.contains(&config.issuing.life) {
        return Err(ConfigError::conflict("issuing.life", "must be ten seconds to a year"));
    }
    Ok(())
}

fn check_members(config: &Config) -> Result<(), ConfigError> {
    let key = "initial_cluster";
    let mut addresses = std::collections::BTreeSet::new();
    for (id, address) in &config.initial_cluster {
        require_address(key, address)?;
        if !addresses.insert(address) {
            return Err(ConfigError::conflict(key, format!("{address} is given to two masters")));
        }
        if is_unspecified(address) {
            return Err(ConfigError::conflict(
                key,
                format!("master {id} cannot be reached at {address}"),
            ));
        }
    }

    check_reach(config)?;
    check_join(config)?;

    let is_member = config.initial_cluster.contains_key(&config.node_id);
    if !config.initial_cluster.is_empty() && !is_member {
        let detail = format!("master {} (node_id) is not among the members", config.node_id);
        return Err(ConfigError::conflict(key, detail));
    }
    Ok(())
}

/// Checks the masters through which to join.
fn check_join(config: &Config) -> Result<(), ConfigError> {
    let addresses = &config.join.0;
    if !addresses.is_empty() && !config.initial_cluster.is_empty() {
        let detail = "initial_cluster is for the first members of a cluster: give one of both";
        return Err(ConfigError::conflict("join", detail));
    }
    for address in addresses {
        require_address("join", address)?;
        if is_unspecified(address) {
            let detail = format!("no master can be reached at {address}");
            return Err(ConfigError::conflict("join", detail));
        }
    }
    Ok(())
}

/// Rejects a loopback address unless all masters are on one machine: it means another machine to
/// each master.
fn check_reach(config: &Config) -> Result<(), ConfigError> {
    let members = &config.initial_cluster;
    let local = members.iter().find(|(_, address)| is_loopback(address));
    let remote = members.iter().find(|(_, address)| !is_loopback(address));
    let (Some((id, address)), Some((other, elsewhere))) = (local, remote) else { return Ok(()) };
    let detail = format!(
        "master {id} cannot be reached at {address} from another machine, such as that of master \
         {other} at {elsewhere}: give all of them an address of their network"
    );
    Err(ConfigError::conflict("initial_cluster", detail))
}

/// Checks that certificate, key and authority come together.
fn check_tls(config: &Config) -> Result<(), ConfigError> {
    let Some((missing, given)) = config.tls.missing() else { return Ok(()) };
    Err(ConfigError::conflict(missing, format!("is missing, and {given} is given")))
}

fn check_listeners(config: &Config) -> Result<(), ConfigError> {
    for (key, address) in
        [("grpc_listen", &config.grpc_listen), ("http_listen", &config.http_listen)]
    {
        require_address(key, address)?;
        let is_open = config.tls.files().is_none() && !config.insecure;
        if is_open && !is_loopback(address) {
            let detail = format!(
                "{address} can be reached from other machines, without encryption or \
                 authentication: give certificates (tls.certificate, tls.key and tls.ca, which \
                 `clusterctl tls` makes), or set insecure = true to serve there all the same"
            );
            return Err(ConfigError::conflict(key, detail));
        }
    }
    let is_fixed = !config.grpc_listen.ends_with(":0");
    if is_fixed && config.grpc_listen == config.http_listen {
        return Err(ConfigError::conflict("http_listen", "is the same as grpc_listen"));
    }
    Ok(())
}

/// Gives callers without a token every right where nobody but this machine can call, or where the
/// operator has waived protection; elsewhere none.
fn complete_access(config: &mut Config) {
    let is_local = is_loopback(&config.grpc_listen) && is_loopback(&config.http_listen);
    let is_open = config.tls.files().is_none() && (is_local || config.insecure);
    let role = is_open.then_some(Role::Admin);
    let Anonymous(role) = *config.access.anonymous.get_or_insert(Anonymous(role));
    config.access.anonymous_metrics.get_or_insert(role.is_some());
}

fn check_advertised(config: &Config) -> Result<(), ConfigError> {
    let address = &config.grpc_advertise;
    require_address("grpc_advertise", address)?;
    if is_unspecified(address) {
        let detail = format!("others cannot reach {address}: name an address of this machine");
        return Err(ConfigError::conflict("grpc_advertise", detail));
    }
    Ok(())
}

fn check_clocks(raft: &RaftConfig) -> Result<(), ConfigError> {
    if raft.heartbeat_interval < HEARTBEAT_INTERVAL_MIN {
        return Err(ConfigError::conflict("raft.heartbeat_interval", "must be 10ms or more"));
    }
    let two_heartbeats = raft.heartbeat_interval.saturating_mul(2);
    if raft.election_timeout.min < two_heartbeats {
        let detail = "must begin at two raft.heartbeat_intervals or more";
        return Err(ConfigError::conflict("raft.election_timeout", detail));
    }
    Ok(())
}

/// Holds the settings of the cluster to the rules that they must keep in its state, too.
fn check_settings(config: &Config) -> Result<(), ConfigError> {
    match config.settings().faults().first() {
        Some(fault) => Err(ConfigError::conflict(fault.key.path(), fault.detail)),
        None => Ok(()),
    }
}

fn check_limits(config: &Config) -> Result<(), ConfigError> {
    let limits = &config.limits;
    if config.raft.snapshot_every == 0 {
        return Err(ConfigError::conflict("raft.snapshot_every", "must be above 0"));
    }
    for (key, value) in [
        ("raft.snapshot_every_bytes", config.raft.snapshot_every_bytes.0),
        ("limits.request_bytes", limits.request_bytes.0),
        ("limits.inflight_proposals", limits.inflight_proposals),
        ("limits.body_bytes", limits.body_bytes.0),
        ("limits.http_connections", limits.http_connections),
        ("limits.grpc_connections", limits.grpc_connections),
        ("limits.wait_requests", limits.wait_requests),
        ("limits.log_streams", limits.log_streams),
        ("limits.ws_clients", limits.ws_clients),
    ] {
        if value == 0 {
            return Err(ConfigError::conflict(key, "must be above 0"));
        }
    }

    if limits.requests_per_second > REQUESTS_PER_SECOND_MAX {
        let detail = format!("must not be above {REQUESTS_PER_SECOND_MAX}; 0 is for no maximum");
        return Err(ConfigError::conflict("limits.requests_per_second", detail));
    }
    if limits.inflight_bytes < limits.request_bytes {
        let detail = "must not be below limits.request_bytes";
        return Err(ConfigError::conflict("limits.inflight_bytes", detail));
    }
    if limits.body_bytes < limits.request_bytes {
        let detail = "must not be below limits.request_bytes";
        return Err(ConfigError::conflict("limits.body_bytes", detail));
    }

    let waiting_max = limits.http_connections / 2;
    if limits.wait_requests > waiting_max.max(1) {
        let detail = format!(
            "must not be above {waiting_max}, half of limits.http_connections: requests that wait \
             would leave no room for others"
        );
        return Err(ConfigError::conflict("limits.wait_requests", detail));
    }
    Ok(())
}

fn require_address(key: &'static str, address: &str) -> Result<(), ConfigError> {
    match host(address) {
        Some(_) => Ok(()),
        None => Err(ConfigError::conflict(key, format!("'{address}' is not HOST:PORT"))),
    }
}
