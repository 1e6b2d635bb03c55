//! The settings of the cluster in the configuration of a master, and as texts.

use std::collections::BTreeMap;

use cluster_state::{AuditSettings, LimitSettings, SettingKey, Settings};
use daemon::config::Key;

use super::{AuditConfig, Bytes, Config, keys};

/// A text that is not the value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettingError {
    /// No setting has the path.
    Unknown {
        /// The path.
        path: String,
        /// True if it is a key of a master's own configuration.
        is_own: bool,
    },
    /// The value cannot be read, or is not allowed.
    Value {
        /// The setting.
        key: SettingKey,
        /// Fault of the value.
        detail: String,
    },
}

impl Config {
    /// Returns what the configuration says of the settings of the cluster.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let AuditConfig { records, age, submissions, .. } = self.audit;
        Settings {
            worker: self.worker,
            reconnect: self.reconnect.clone(),
            scheduler: self.scheduler,
            limits: LimitSettings { live_bytes: self.limits.live_bytes.as_u64() },
            retention: self.retention,
            autopilot: self.autopilot,
            upgrade: self.upgrade,
            audit: AuditSettings { records, age, submissions },
        }
    }

    /// Returns a configuration that says this of them.
    fn of(settings: &Settings) -> Self {
        let Settings { worker, reconnect, scheduler, limits, retention, autopilot, upgrade, audit } =
            settings.clone();
        let mut config =
            Self { worker, reconnect, scheduler, retention, autopilot, upgrade, ..Self::default() };
        let AuditSettings { records, age, submissions } = audit;
        config.audit = AuditConfig { records, age, submissions, ..AuditConfig::default() };
        config.limits.live_bytes = Bytes(usize::try_from(limits.live_bytes).unwrap_or(usize::MAX));
        config
    }
}

/// Returns the value of a setting as a flag takes it.
pub(crate) fn shown(key: SettingKey, settings: &Settings) -> String {
    let config = Config::of(settings);
    find(key.path()).map_or_else(String::new, |found| found.text(&config))
}

/// Returns the settings with other values, which are written as a flag takes them.
///
/// # Errors
///
/// Returns every fault of a path or a value; those of values in company only where each can be read.
pub(crate) fn changed(
    settings: &Settings,
    values: &BTreeMap<String, String>,
) -> Result<Settings, Vec<SettingError>> {
    let mut config = Config::of(settings);
    let mut errors = Vec::new();
    for (path, text) in values {
        let (setting, found) = (SettingKey::at(path), find(path));
        let (Some(key), Some(found)) = (setting, found) else {
            let is_own = found.is_some();
            errors.push(SettingError::Unknown { path: path.clone(), is_own });
            continue;
        };
        if let Err(detail) = found.read(&mut config, text) {
            errors.push(SettingError::Value { key, detail });
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }

    let settings = config.settings();
    let faults = settings.faults().into_iter();
    let errors = faults.map(|fault| {
        let detail = fault.detail.to_owned();
        SettingError::Value { key: fault.key, detail }
    });
    let errors = errors.collect::<Vec<_>>();
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

fn find(path: &str) -> Option<&'static Key<Config>> {
    keys::KEYS.iter().find(|key| key.path() == path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_setting_is_a_key_of_the_configuration_and_is_read_as_it_is_shown() {
        let mut settings = Settings::default();
        settings.worker.lease = Duration::from_secs(90);
        settings.limits.live_bytes = 3 << 20;
        settings.reconnect.intervals_by_priority =
            BTreeMap::from([("high".to_owned(), Duration::from_millis(1_500))]);
        let all = SettingKey::ALL.iter();
        let texts = all.map(|key| (key.path().to_owned(), shown(*key, &settings)));
        let texts = texts.collect::<BTreeMap<_, _>>();

        assert_eq!(texts["worker.lease"], "1m30s");
        assert_eq!(texts["limits.live_bytes"], "3MiB");
        assert_eq!(texts["retention.tasks"], "2000000");
        assert_eq!(changed(&Settings::default(), &texts), Ok(settings));
    }

    #[test]
    fn every_fault_is_told() {
        let refused = |pairs| changed(&Settings::default(), &values(pairs)).unwrap_err();
        let unknown = |path: &str, is_own| SettingError::Unknown { path: path.to_owned(), is_own };
        let value = |key, detail: &str| SettingError::Value { key, detail: detail.to_owned() };

        assert_eq!(
            refused(&[("data_dir", "/d"), ("worker.leese", "1m"), ("worker.lease", "soon")]),
            [
                unknown("data_dir", true),
                value(SettingKey::Lease, "'soon' is not a duration such as 250ms, 30s or 5m"),
                unknown("worker.leese", false),
            ]
        );
        assert_eq!(
            refused(&[("worker.lease", "1s"), ("reconnect.max_parallel", "0")]),
            [
                value(SettingKey::Lease, "must not be shorter than worker.heartbeat_timeout"),
                value(SettingKey::ReconnectMaxParallel, "must be above 0"),
            ]
        );
    }
}
