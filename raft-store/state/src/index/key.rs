//! Classes as keys.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::Class;

/// A class in a map, higher priorities first.
///
/// A digest tells classes of one priority apart, so that a search among a hundred thousand of them
/// reads the one that it finds and no other. Nothing but their order follows from it, and on that
/// nothing depends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassKey {
    priority: Reverse<u8>,
    digest: u64,
    class: Arc<Class>,
}

impl ClassKey {
    pub(super) fn of(class: &Arc<Class>) -> Self {
        let mut hasher = DefaultHasher::new();
        class.hash(&mut hasher);
        let priority = Reverse(class.priority);
        Self { priority, digest: hasher.finish(), class: Arc::clone(class) }
    }

    pub(super) const fn class(&self) -> &Arc<Class> {
        &self.class
    }
}
