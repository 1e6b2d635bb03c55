//! The trail of orders, by log position.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::State;
use crate::{AuditRecord, AuditSettings, LogIndex};

/// Records of the trail and the indexes over them.
#[derive(Debug, Default)]
pub(super) struct Trail {
    by_index: BTreeMap<LogIndex, Arc<AuditRecord>>,
    /// Those about tasks.
    about_tasks: BTreeSet<LogIndex>,
    bytes: u64,
}

impl State {
    /// Returns the records of the trail, oldest first.
    pub fn trail(&self) -> impl ExactSizeIterator<Item = &Arc<AuditRecord>> + DoubleEndedIterator {
        self.trail.by_index.values()
    }

    /// Returns the records after a log position, oldest first.
    pub fn trail_after(
        &self,
        index: LogIndex,
    ) -> impl DoubleEndedIterator<Item = &Arc<AuditRecord>> {
        let after = (Bound::Excluded(index), Bound::Unbounded);
        self.trail.by_index.range(after).map(|(_, record)| record)
    }

    /// Returns the records before a log position, oldest first.
    pub fn trail_before(
        &self,
        index: LogIndex,
    ) -> impl DoubleEndedIterator<Item = &Arc<AuditRecord>> {
        self.trail.by_index.range(..index).map(|(_, record)| record)
    }

    /// Returns how much of the trail is kept: the cluster's settings, or the defaults before it has any.
    #[must_use]
    pub fn audit_settings(&self) -> AuditSettings {
        self.settings().map_or_else(AuditSettings::default, |record| record.settings.audit)
    }

    /// Returns the bytes that the trail takes, by the account of [`AuditRecord::bytes`].
    #[must_use]
    pub const fn trail_bytes(&self) -> u64 {
        self.trail.bytes
    }

    /// Returns the oldest record that there is no room for beside newer ones.
    pub(crate) fn trail_excess(&self) -> Option<LogIndex> {
        let limits = self.limits();
        let kept = usize::try_from(self.audit_settings().records).unwrap_or(usize::MAX);
        let kept = kept.clamp(1, limits.audit_records_max);
        let Trail { by_index, about_tasks, bytes } = &self.trail;
        // The newest record stays: the next one counts on from it.
        if by_index.len() < 2 {
            return None;
        }
        if about_tasks.len() > kept.div_ceil(2) {
            return about_tasks.first().copied();
        }
        let is_over = by_index.len() > kept || *bytes > limits.audit_bytes_max;
        by_index.keys().next().copied().filter(|_| is_over)
    }

    pub(crate) fn trail_is_in_step(&self) -> bool {
        let Trail { by_index, about_tasks, bytes } = &self.trail;
        let of_tasks = by_index.values().filter(|record| record.action.is_about_tasks());
        let numbers = || by_index.values().map(|record| record.number);
        *bytes == by_index.values().map(|record| record.bytes()).sum::<u64>()
            && by_index.iter().all(|(index, record)| record.index == *index)
            && of_tasks.map(|record| &record.index).eq(about_tasks)
            && numbers().is_sorted_by(|earlier, later| earlier < later)
    }

    pub(crate) fn put_audit_record(&mut self, record: Arc<AuditRecord>) {
        self.remove_audit_record(record.index);
        let Trail { by_index, about_tasks, bytes } = &mut self.trail;
        *bytes += record.bytes();
        if record.action.is_about_tasks() {
            about_tasks.insert(record.index);
        }
        by_index.insert(record.index, record);
    }

    pub(crate) fn remove_audit_record(&mut self, index: LogIndex) {
        let Trail { by_index, about_tasks, bytes } = &mut self.trail;
        if let Some(record) = by_index.remove(&index) {
            *bytes -= record.bytes();
            about_tasks.remove(&index);
        }
    }
}
