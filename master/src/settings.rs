//! The settings that a master goes by: those of the cluster, or its own while the cluster has none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{LogIndex, MasterId, SeedSettings, SettingKey, Settings, State, Term};
use raft_store::Node;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::trail::Trail;

/// Pause between two looks at the settings: they change by hand, and the log moves all the time.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// The settings in force, with this master's own behind them.
#[derive(Clone, Debug)]
pub(crate) struct SettingsInForce(Arc<Own>);

#[derive(Debug)]
struct Own {
    settings: Settings,
    /// Settings that its configuration gives; the others are defaults.
    given: BTreeSet<SettingKey>,
}

impl SettingsInForce {
    /// Returns those of a master with this configuration.
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new(Own { settings: config.settings(), given: config.given.clone() }))
    }

    /// Returns the settings in force in a state.
    pub(crate) fn of<'a>(&'a self, state: &'a State) -> &'a Settings {
        state.settings().map_or(&self.0.settings, |record| &record.settings)
    }

    /// Returns what this master's configuration says.
    pub(crate) fn own(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns the command that makes them those of the cluster.
    pub(crate) fn seed(&self, term: Term, master: MasterId) -> SeedSettings {
        let Own { settings, given } = &*self.0;
        SeedSettings { term, settings: settings.clone(), master, given: given.clone() }
    }

    /// Returns the settings that this master's configuration gives otherwise than the cluster has
    /// them.
    fn differing(&self, cluster: &Settings) -> Vec<SettingKey> {
        let differences = self.0.settings.differences(cluster);
        differences.filter(|key| self.0.given.contains(key)).collect()
    }
}

/// Watches the settings of the cluster, on every master: tells where this master's configuration says
/// otherwise, and has the autopilot go by them.
pub(crate) async fn watch(
    settings: SettingsInForce,
    node: Node,
    (metrics, trail): (Metrics, Trail),
    stop: CancellationToken,
) {
    let mut applied = node.reader().watch_applied();
    let mut seen = None::<LogIndex>;
    loop {
        applied.borrow_and_update();
        let record = node.reader().with(|state| state.settings().cloned());
        if let Some(record) = record.filter(|record| seen != Some(record.index)) {
            seen = Some(record.index);
            metrics.set_reconnect_enabled(record.settings.reconnect.enabled);
            trail.set_submissions(record.settings.audit.submissions);
            node.steer_autopilot(record.settings.autopilot);
            let differing = settings.differing(&record.settings);
            let keys = differing.into_iter().map(SettingKey::path).collect::<Vec<_>>();
            if !keys.is_empty() {
                let keys = keys.join(", ");
                tracing::warn!(
                    keys,
                    "this master's configuration differs from the settings of the cluster, which count"
                );
            }
            node.set_differing_settings(keys.into_iter().map(str::to_owned).collect());
        }

        let moved = async {
            tokio::time::sleep(LOOK_PAUSE).await;
            applied.changed().await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            moved = moved => if moved.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_differs_is_not_told_of() {
        let mut config = Config::default();
        config.worker.lease = Duration::from_secs(60);
        config.reconnect.enabled = false;
        config.given = BTreeSet::from([SettingKey::Lease, SettingKey::RetainedTasks]);
        let settings = SettingsInForce::new(&config);
        assert_eq!(settings.differing(&Settings::default()), [SettingKey::Lease]);
    }
}
