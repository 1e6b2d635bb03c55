//! Sizes of the log's entries, counted in blocks. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Minimum bytes of a block. Within one, all entries count as equally large: bounds are of some
/// hundred of these.
const BLOCK_BYTES: u64 = 1 << 20;

/// Consecutive entries, and their total size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    first: u64,
    pub(super) last: u64,
    bytes: u64,
}

crate::codec::versioned! { Block = 10, }

/// Returns a share of a whole: `whole * part / of`.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

impl Block {
    const fn entries(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Returns its part from `index` on.
    fn from(&self, index: u64) -> Option<Self> {
        let first = self.first.max(index);
        (first <= self.last).then(|| {
            let bytes = share(self.bytes, (self.last - first).saturating_add(1), self.entries());
            Self { first, bytes, ..*self }
        })
    }

    /// Returns its part up to and including `index`.
    fn up_to(&self, index: u64) -> Option<Self> {
        let last = self.last.min(index);
        (self.first <= last).then(|| {
            let bytes = share(self.bytes, (last - self.first).saturating_add(1), self.entries());
            Self { last, bytes, ..*self }
        })
    }
}

/// Blocks of a log, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    blocks: VecDeque<Block>,
}

impl Volume {
    /// Restores a block that was counted before.
    pub(super) fn restore(&mut self, block: Block) {
        let follows = self.blocks.back().is_none_or(|last| last.last < block.first);
        assert!(follows, "blocks stand in order: {block:?} follows {:?}", self.blocks.back());
        self.blocks.push_back(block);
    }

    /// Counts the next entry. Returns the block that it completes, if any.
    pub(crate) fn append(&mut self, index: u64, bytes: u64) -> Option<Block> {
        let growing = self
            .blocks
            .back_mut()
            .filter(|block| block.bytes < BLOCK_BYTES && block.last.checked_add(1) == Some(index));
        let grown = if let Some(block) = growing {
            block.last = index;
            block.bytes = block.bytes.saturating_add(bytes);
            *block
        } else {
            let block = Block { first: index, last: index, bytes };
            self.blocks.push_back(block);
            block
        };
        (grown.bytes >= BLOCK_BYTES).then_some(grown)
    }

    /// Forgets the entries from `next` on.
    pub(super) fn truncate(&mut self, next: u64) {
        while self.blocks.pop_back_if(|block| block.first >= next).is_some() {}
        let Some(block) = self.blocks.back_mut().filter(|block| block.last >= next) else { return };
        if let Some(rest) = next.checked_sub(1).and_then(|last| block.up_to(last)) {
            // The block is not complete any more: the next entries belong to it.
            *block = Block { bytes: rest.bytes.min(BLOCK_BYTES - 1), ..rest };
        }
    }

    /// Forgets the entries up to and including `upto`.
    pub(super) fn purge(&mut self, upto: u64) {
        while self.blocks.pop_front_if(|block| block.last <= upto).is_some() {}
        if let Some(block) = self.blocks.front_mut()
            && let Some(rest) = block.from(upto.saturating_add(1))
        {
            *block = rest;
        }
    }

    /// Returns the bytes of the entries from `index` on.
    pub(crate) fn bytes_from(&self, index: u64) -> u64 {
        let parts = self.blocks.iter().rev().map_while(|block| block.from(index));
        parts.map(|part| part.bytes).sum()
    }

    /// Returns the bytes of all entries.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_from(0)
    }

    /// Returns the first index from which on the entries up to and including `last` take no more
    /// than `bytes`.
    pub(crate) fn first_within(&self, last: u64, bytes: u64) -> u64 {
        let mut left = bytes;
        let mut first = last.saturating_add(1);
        for block in self.blocks.iter().rev().filter_map(|block| block.up_to(last)) {
            if block.bytes > left {
                let fitting = share(block.entries(), left, block.bytes);
                return first.min(block.last.saturating_add(1).saturating_sub(fitting));
            }
            left -= block.bytes;
            first = first.min(block.first);
        }
        // All of it fits.
        0
    }
}

#[cfg(test)]
impl Volume {
    /// Counts entries with these indexes and sizes.
    pub(crate) fn of(entries: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut volume = Self::default();
        for (index, bytes) in entries {
            volume.append(index, bytes);
        }
        volume
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIB: u64 = 1 << 10;

    #[test]
    fn entries_make_blocks() {
        let mut volume = Volume::default();

        let whole = (10..100).find_map(|index| volume.append(index, 100 * KIB)).unwrap();
        assert_eq!(whole, Block { first: 10, last: 20, bytes: 1100 * KIB });
        assert_eq!(
            volume.append(21, 15 << 20),
            Some(Block { first: 21, last: 21, bytes: 15 << 20 })
        );
        assert_eq!(volume.append(22, 1), None);

        assert_eq!(volume.bytes(), 1100 * KIB + (15 << 20) + 1);
        assert_eq!(volume.bytes_from(15), 600 * KIB + (15 << 20) + 1);
        assert_eq!(volume.bytes_from(22), 1);
        assert_eq!(volume.bytes_from(23), 0);
    }

    #[test]
    fn what_is_cut_off_counts_no_longer() {
        let mut volume = Volume::of((0..40).map(|index| (index, 100 * KIB)));

        volume.truncate(30);
        assert_eq!(volume.bytes(), 3000 * KIB);
        volume.purge(4);
        assert_eq!(volume.bytes(), 2500 * KIB);
        volume.append(30, KIB);
        assert_eq!(volume.bytes(), 2501 * KIB);

        volume.purge(99);
        assert_eq!(volume.bytes(), 0);
        volume.append(100, 7);
        assert_eq!(volume.bytes(), 7);
    }

    #[test]
    fn a_tail_of_so_many_bytes_is_found() {
        // Nine whole blocks, one of a single entry, and the beginning of another.
        let mut entries = (0..99).map(|index| (index, 100 * KIB)).collect::<Vec<_>>();
        entries.extend([(99, 15 << 20), (100, KIB)]);
        let volume = Volume::of(entries);

        assert_eq!(volume.first_within(98, 500 * KIB), 94);
        assert_eq!(volume.first_within(98, 0), 99);
        assert_eq!(volume.first_within(100, 2 << 20), 100);
        assert_eq!(volume.first_within(100, 15 << 20), 100);
        assert_eq!(volume.first_within(100, (15 << 20) + KIB), 99);
        assert_eq!(volume.first_within(100, u64::MAX), 0);
        assert_eq!(Volume::default().first_within(9, 5), 0);
    }

    proptest! {
        /// The sum of all entries is exact, and no part is wrong by more than a block.
        #[test]
        fn blocks_are_close_to_the_truth(
            sizes in prop::collection::vec(1_u64..3 * BLOCK_BYTES, 1..60),
            purged in 0_u64..60,
            place in 0_u64..70,
            bytes in 0_u64..40 * BLOCK_BYTES,
        ) {
            let entries = (0_u64..).zip(sizes);
            let mut volume = Volume::of(entries.clone());
            let exact = |from: u64| entries.clone().skip_while(|(i, _)| *i < from).map(|(_, b)| b).sum();
            prop_assert_eq!(volume.bytes(), exact(0));

            // Half of a block is small, the other half one entry.
            let off = 4 * BLOCK_BYTES;
            let found: u64 = volume.bytes_from(place);
            prop_assert!(found.abs_diff(exact(place)) <= off);
            let last = entries.clone().count() as u64 - 1;
            let first = volume.first_within(last, bytes);
            prop_assert!(exact(first) <= bytes + off);
            prop_assert!(first == 0 || exact(first - 1) + off > bytes);

            volume.purge(purged);
            prop_assert!(volume.bytes().abs_diff(exact(purged + 1)) <= off);
        }
    }
}
