//! Checks values one by one and together.

use std::path::PathBuf;

use daemon::config::ConfigError;
use proto::limits::ATTEMPTS_HELD_MAX;
use proto::{address, channel};

use super::Config;
use crate::join_token::JoinToken;

/// Reads the join token from its file and refuses what does not fit together.
pub(super) fn complete(mut config: Config) -> Result<Config, ConfigError> {
    check_tls(&config)?;
    config.join_token = read_token(config.join_token.take(), config.join_token_file.take())?;
    check_token(&config)?;
    check_listener(&config)?;
    check_renewal(&config)?;
    check_limits(&config)?;
    check_devices(&config)?;
    check_addresses(&config)?;
    check_reach(&config)?;
    Ok(config)
}

/// Checks that certificate, key and authority come together.
fn check_tls(config: &Config) -> Result<(), ConfigError> {
    let Some((missing, given)) = config.tls.missing() else { return Ok(()) };
    Err(ConfigError::conflict(missing, format!("is missing, and {given} is given")))
}

fn check_listener(config: &Config) -> Result<(), ConfigError> {
    let is_secured = config.files().is_some();
    if config.listen.ip().is_loopback() || is_secured || config.insecure {
        return Ok(());
    }
    let detail = format!(
        "{} can be reached from other machines, which could run programs here: give certificates \
         (tls.certificate, tls.key and tls.ca, which `clusterctl tls` makes) or a join token of a \
         cluster that issues them, listen on a loopback address, or set insecure = true",
        config.listen
    );
    Err(ConfigError::conflict("listen", detail))
}

fn read_token(
    token: Option<JoinToken>,
    file: Option<PathBuf>,
) -> Result<Option<JoinToken>, ConfigError> {
    let key = "join_token_file";
    let Some(path) = file else { return Ok(token) };
    if token.is_some() {
        return Err(ConfigError::conflict(key, "join_token is given too"));
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.into())),
        Err(error) => Err(ConfigError::conflict(key, format!("{}: {error}", path.display()))),
    }
}

fn check_token(config: &Config) -> Result<(), ConfigError> {
    let Some(token) = &config.join_token else { return Ok(()) };
    if !token.is_whole() {
        let detail = format!(
            "{token} is not a name, a dot, and a secret, as `clusterctl token create` prints it"
        );
        return Err(ConfigError::conflict("join_token", detail));
    }
    if config.masters.is_empty() {
        let detail = "needs masters: a worker that waits to be called needs no token";
        return Err(ConfigError::conflict("join_token", detail));
    }
    Ok(())
}

/// Checks that a worker that renews its certificate knows whom to ask.
fn check_renewal(config: &Config) -> Result<(), ConfigError> {
    if config.renews() && config.masters.is_empty() {
        let detail = "is missing: they issue the certificate that this worker renews";
        return Err(ConfigError::conflict("masters", detail));
    }
    Ok(())
}

fn check_limits(config: &Config) -> Result<(), ConfigError> {
    if let Some(cpu) = config.cpu.filter(|cpu| !is_processor_count(*cpu)) {
        let detail = format!("{cpu} is not a number above 0 with at most three decimals");
        return Err(ConfigError::conflict("cpu", detail));
    }
    let limits = &config.limits;
    if !(1..=ATTEMPTS_HELD_MAX).contains(&limits.attempts_max) {
        let detail = format!("must be 1 to {ATTEMPTS_HELD_MAX}");
        return Err(ConfigError::conflict("limits.attempts_max", detail));
    }
    let above_zero = [
        ("limits.spool_bytes_max", limits.spool_bytes_max == 0),
        ("limits.log_bytes_max", limits.log_bytes_max == 0),
    ];
    match above_zero.into_iter().find(|(_, is_zero)| *is_zero) {
        Some((key, _)) => Err(ConfigError::conflict(key, "must be above 0")),
        None => Ok(()),
    }
}

fn check_devices(config: &Config) -> Result<(), ConfigError> {
    if config.gpu.is_some() && config.devices.gpus().is_some() {
        return Err(ConfigError::conflict("gpu", "devices.gpu names the GPUs already"));
    }
    config.devices.check().map_err(|detail| ConfigError::conflict("devices", detail))
}

fn is_processor_count(cpu: f64) -> bool {
    let thousandths = cpu * 1_000.0;
    cpu.is_finite() && cpu > 0.0 && (thousandths - thousandths.round()).abs() < 1e-6
}

fn check_addresses(config: &Config) -> Result<(), ConfigError> {
    let advertised = config.advertise.iter().map(|address| ("advertise", address));
    let masters = config.masters.iter().map(|address| ("masters", address));
    let mut refused =
        advertised.chain(masters).filter(|(_, at)| channel::check_address(at).is_err());
    match refused.next() {
        Some((key, address)) => {
            Err(ConfigError::conflict(key, format!("'{address}' is not HOST:PORT")))
        }
        None => Ok(()),
    }
}

/// Rejects an address that masters cannot call: such a worker looks healthy and gets no task done.
/// Whether a host name means another machine shows only when a master is called, which refuses such
/// an address itself.
fn check_reach(config: &Config) -> Result<(), ConfigError> {
    if let Some(advertised) = config.advertise.as_ref().filter(|at| address::is_unspecified(at)) {
        let detail = format!(
            "{advertised} is an address to listen on: name the host where masters reach this worker"
        );
        return Err(ConfigError::conflict("advertise", detail));
    }

    let address = config.advertise.clone().unwrap_or_else(|| config.listen.to_string());
    let is_elsewhere = |master: &&String| {
        address::ip(master).is_some_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
    };
    match config.masters.iter().find(is_elsewhere) {
        Some(master) if address::is_loopback(&address) => {
            let detail = format!(
                "masters would have to reach this worker at {address}, which means their own \
                 machine to those at {master}: give advertise, or listen, an address of this \
                 machine's network"
            );
            Err(ConfigError::conflict("advertise", detail))
        }
        Some(_) | None => Ok(()),
    }
}
