//! Addresses of members that have moved, until the membership records them.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::log_node::NodeId;

/// Addresses at which members were found, other than the recorded ones. When all masters move at
/// once, no leader can record anything before they have found each other.
#[derive(Debug, Default)]
pub(crate) struct AddressBook(Mutex<BTreeMap<NodeId, Moved>>);

#[derive(Debug, Default)]
struct Moved {
    /// Addresses that were recorded before: when yet another one is recorded, that counts.
    superseded: BTreeSet<String>,
    found: String,
}

impl AddressBook {
    /// Records that a member with that recorded address was found elsewhere; returns true if this is
    /// news.
    pub(crate) fn on_found(&self, node: NodeId, recorded: &str, found: &str) -> bool {
        let mut moved = self.0.lock();
        let moved = moved.entry(node).or_default();
        moved.superseded.insert(recorded.to_owned());
        moved.superseded.remove(found);
        let is_news = moved.found != found && recorded != found;
        found.clone_into(&mut moved.found);
        is_news
    }

    /// Returns the address of a member.
    pub(crate) fn address(&self, node: NodeId, recorded: &str) -> String {
        let moved = self.0.lock();
        let moved = moved.get(&node).filter(|moved| moved.superseded.contains(recorded));
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

        // A connection that was made for the first record outlives the second one.
        assert!(book.on_found(node, "new:1", "newest:1"));
        assert_eq!(book.address(node, "old:1"), "newest:1");
        assert_eq!(book.address(node, "new:1"), "newest:1");
        assert!(!book.on_found(node, "old:1", "old:1"), "it is where it was");
        assert_eq!(book.address(node, "old:1"), "old:1");
    }
}
