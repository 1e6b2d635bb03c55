//! The settings of the cluster: shown, and changed while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Command, LogIndex, Rejection, SetSettings, Settings, SettingsRecord};
use proto::convert::Invalid;
use proto::problem::{ErrorKind, Fault, Outcome, Problem};
use raft_store::ProposeError;

use super::{Answer, Mark, Operations, Reading};
use crate::access::Caller;
use crate::config::{self, SettingError};
use crate::refusal;

/// Time for the first leader of a cluster to record its settings, which takes it a moment.
const SEED_PATIENCE: Duration = Duration::from_secs(2);
/// Attempts at a change while others change settings at the same time.
const ATTEMPTS_MAX: usize = 8;

/// Order to change settings.
#[derive(Debug)]
pub(crate) struct SettingsChange {
    /// New values by the paths of the settings, written as a flag takes them.
    pub(crate) values: BTreeMap<String, String>,
    /// Index of the last change, if the order depends on there being no later one.
    pub(crate) if_index: Option<LogIndex>,
}

/// The settings as they are stored.
type Record = Arc<SettingsRecord>;

impl Operations {
    /// Returns the settings.
    pub(crate) async fn settings(&self, reading: Reading) -> Result<Answer<Record>, Problem> {
        let mark = self.reach(reading).await?;
        Ok(mark.on(self.recorded_settings().await?))
    }

    /// Changes settings, all that are named or none. Returns them as they are then.
    pub(crate) async fn set_settings(
        &self,
        change: SettingsChange,
        by: &Caller,
    ) -> Result<Answer<Record>, Problem> {
        let SettingsChange { values, if_index } = change;
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            attempts_left = attempts_left.saturating_sub(1);
            self.reach(Reading::default()).await?;
            let known = self.recorded_settings().await?;
            let settings = config::changed(&known.settings, &values).map_err(refused)?;

            let base = if_index.unwrap_or(known.index);
            let command = Command::SetSettings(SetSettings {
                settings,
                base,
                by: by.principal().to_string(),
            });
            match self.node().propose(&self.ordered(command, by)).await {
                Ok(committed) => {
                    let mark = self.reach(Reading::default()).await?;
                    let mark = Mark { index: committed.index.max(mark.index), ..mark };
                    return Ok(mark.on(self.recorded_settings().await?));
                }
                // Somebody else was faster.
                Err(ProposeError::Rejected {
                    rejection: Rejection::SettingsChanged { .. },
                    ..
                }) if if_index.is_none() && attempts_left > 0 => {}
                Err(error) => return Err(refusal::of_mutation(&error)),
            }
        }
    }

    /// Returns the settings in this master's state. A cluster of their level gets them a moment after
    /// its first leader took over.
    async fn recorded_settings(&self) -> Result<Record, Problem> {
        let reader = self.node().reader();
        let mut applied = reader.watch_applied();
        let recorded = async {
            loop {
                applied.borrow_and_update();
                if let Some(record) = reader.with(|state| state.settings().cloned()) {
                    return Some(record);
                }
                applied.changed().await.ok()?;
            }
        };
        let recorded = tokio::time::timeout(SEED_PATIENCE, recorded).await;
        recorded.ok().flatten().ok_or_else(|| {
            let detail = format!(
                "the cluster has no settings at feature level {}: until all masters run a release \
                 that knows level {}, the configuration of the leader counts",
                reader.level(),
                Settings::LEVEL
            );
            Problem::new(ErrorKind::Conflict, detail).with_outcome(Outcome::Rejected)
        })
    }
}

/// Tells every fault. A name that is not known is worse than a value that is not allowed.
fn refused(errors: Vec<SettingError>) -> Problem {
    let has_unknown = errors.iter().any(|error| matches!(error, SettingError::Unknown { .. }));
    let kind = if has_unknown { ErrorKind::UnknownField } else { ErrorKind::InvalidValue };
    let faults = errors.into_iter().map(|error| match error {
        SettingError::Unknown { path, is_own } => {
            let detail = match is_own {
                true => "is a key of each master's own configuration",
                false => "is not a setting of the cluster",
            };
            Fault { pointer: pointer(&path), detail: detail.to_owned() }
        }
        SettingError::Value { key, detail } => Fault { pointer: pointer(key.path()), detail },
    });
    Invalid::listed(kind, faults.collect()).into()
}

/// Returns the JSON pointer to a setting in the body of a request.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace('~', "~0").replace('/', "~1"))
}
