//! Applies commands about the cluster's settings.

use std::sync::Arc;

use super::Apply;
use crate::{
    Change, Record, Rejection, Reply, SeedSettings, SetSettings, SettingKey, SettingOrigin,
    SettingSource, Settings, SettingsRecord,
};

impl Apply<'_> {
    /// Makes the configuration of the leader that of the cluster. Once the cluster has settings, the
    /// command changes nothing.
    pub(super) fn seed_settings(&mut self, command: SeedSettings) -> Result<Reply, Rejection> {
        let SeedSettings { term, settings, master, given } = command;
        self.check_term(term)?;
        if self.state.settings().is_some() {
            return Ok(Reply::Done);
        }
        check(&settings)?;

        let index = self.index;
        let origin = |key: &SettingKey| match given.contains(key) {
            true => SettingOrigin { source: SettingSource::Master(master), index },
            false => SettingOrigin { source: SettingSource::Default, index },
        };
        let origins = SettingKey::ALL.iter().map(|key| (*key, origin(key))).collect();
        let (changed_at, changed_by) = (self.now, None);
        self.put_settings(SettingsRecord { settings, origins, changed_at, changed_by, index });
        Ok(Reply::Done)
    }

    /// Changes settings, unless they have changed since the proposer has seen them.
    pub(super) fn set_settings(&mut self, command: SetSettings) -> Result<Reply, Rejection> {
        let SetSettings { settings, base, by } = command;
        let Some(known) = self.state.settings().filter(|known| known.index == base).cloned() else {
            let current = self.state.settings().map(|known| known.index);
            return Err(Rejection::SettingsChanged { base, current });
        };
        check(&settings)?;

        let index = self.index;
        let origin = SettingOrigin { source: SettingSource::Operator, index };
        let mut origins = known.origins.clone();
        origins.extend(known.settings.differences(&settings).map(|key| (key, origin)));
        if settings != known.settings {
            let (changed_at, changed_by) = (self.now, Some(by));
            self.put_settings(SettingsRecord { settings, origins, changed_at, changed_by, index });
        }
        Ok(Reply::Done)
    }

    fn put_settings(&mut self, record: SettingsRecord) {
        self.meta.live_bytes_max = record.settings.limits.live_bytes;
        let record = Arc::new(record);
        self.state.put_settings(Arc::clone(&record));
        self.changes.push(Change::Put(Record::Settings(record)));
    }
}

fn check(settings: &Settings) -> Result<(), Rejection> {
    match settings.faults().first() {
        Some(fault) => Err(fault.into()),
        None => Ok(()),
    }
}
