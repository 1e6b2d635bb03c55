//! Remembers which followers are short of room on their disks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::log_node::NodeId;

/// Free bytes of the followers that are short of room, by their latest answers to this master.
#[derive(Debug, Default)]
pub(crate) struct Shortages {
    by_node: Mutex<BTreeMap<NodeId, u64>>,
    /// False while all have room, so that a proposal looks no further.
    is_any: AtomicBool,
}

impl Shortages {
    /// Records what a follower has said of its disk; none if it has room.
    pub(crate) fn on_answer(&self, node: NodeId, free: Option<u64>) {
        if free.is_none() && !self.is_any.load(Ordering::Acquire) {
            return;
        }
        let mut by_node = self.by_node.lock();
        match free {
            Some(free) => by_node.insert(node, free),
            None => by_node.remove(&node),
        };
        self.is_any.store(!by_node.is_empty(), Ordering::Release);
    }

    /// Returns the bytes that are free on the disk of a follower, if it is short of room.
    pub(crate) fn of(&self, node: NodeId) -> Option<u64> {
        self.by_node.lock().get(&node).copied()
    }

    /// Returns true if any follower is short of room.
    pub(crate) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_that_has_room_again_is_forgotten() {
        let shortages = Shortages::default();
        shortages.on_answer(NodeId(2), None);
        assert!(!shortages.is_any());
        shortages.on_answer(NodeId(2), Some(7));
        assert_eq!(shortages.of(NodeId(2)), Some(7));
        assert!(shortages.is_any());
        shortages.on_answer(NodeId(2), None);
        assert_eq!(shortages.of(NodeId(2)), None);
        assert!(!shortages.is_any());
    }
}
