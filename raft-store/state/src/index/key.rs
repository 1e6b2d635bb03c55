//! Classes as keys of maps.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use crate::Class;

/// A class as the key of a map, higher priorities first.
#[derive(Debug, Clone)]
pub(super) struct ClassKey(Arc<Class>);

impl ClassKey {
    pub(super) fn of(class: &Arc<Class>) -> Self {
        Self(Arc::clone(class))
    }

    pub(super) const fn class(&self) -> &Arc<Class> {
        &self.0
    }
}

impl Ord for ClassKey {
    fn cmp(&self, other: &Self) -> Ordering {
        // Live tasks share their class, so most searches end here.
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        let rank = |key: &Self| Reverse(key.0.priority);
        rank(self).cmp(&rank(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ClassKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ClassKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ClassKey {}
