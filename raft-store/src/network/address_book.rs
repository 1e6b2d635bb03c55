//! Addresses of members that have moved, until the membership records them.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::log_node::NodeId;

/// Addresses at which members were found, other than the recorded ones. When all masters move at
/// once, no leader can record anything before they have found each other.
#[derive(Debug, Default)]
pub(crate) struct AddressBook(Mutex<BTreeMap<NodeId, Moved>>);

#[derive(Debug)]
struct Moved {
    /// Recorded address at the time: when the record changes, it counts again.
    recorded: String,
    found: String,
}

impl AddressBook {
    /// Records that a member with that recorded address was found elsewhere; returns true if this is
    /// news.
    pub(crate) fn on_found(&self, node: NodeId, recorded: &str, found: &str) -> bool {
        let mut moved = self.0.lock();
        if recorded == found {
            return moved.remove(&node).is_some();
        }
        let entry = Moved { recorded: recorded.to_owned(), found: found.to_owned() };
        let before = moved.insert(node, entry);
        before.is_none_or(|before| before.found != found)
    }

    /// Returns the address of a member.
    pub(crate) fn address(&self, node: NodeId, recorded: &str) -> String {
        let moved = self.0.lock();
        let moved = moved.get(&node).filter(|moved| moved.recorded == recorded);
        moved.map_or_else(|| recorded.to_owned(), |moved| moved.found.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_where_it_was_found_until_the_record_changes() {
        let (book, node) = (AddressBook::default(), NodeId(1));
        assert_eq!(book.address(node, "old:1"), "old:1");
        assert!(book.on_found(node, "old:1", "new:1"));
        assert!(!book.on_found(node, "old:1", "new:1"), "no news");
        assert_eq!(book.address(node, "old:1"), "new:1");
        assert_eq!(book.address(node, "newest:1"), "newest:1");

        assert!(book.on_found(node, "old:1", "old:1"));
        assert_eq!(book.address(node, "old:1"), "old:1");
    }
}
