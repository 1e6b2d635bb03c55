//! Bloom filter of the labels of workers, in a few bytes that are quick to compare.

use crate::{Class, ConstraintOp, Fnv1a, Worker};

const WORDS: usize = 4;

/// Bloom filter of labels, with one bit for each label and one for each label with its value. A
/// label in the filter may be present; a label that is not in it is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LabelFilter([u64; WORDS]);

impl LabelFilter {
    pub(super) fn of(worker: &Worker) -> Self {
        let mut filter = Self::default();
        for (label, value) in worker.effective_labels() {
            filter.insert(hash(&label, None));
            filter.insert(hash(&label, Some(&value)));
        }
        filter
    }

    /// Returns the labels that any worker that may run this class must have.
    pub(super) fn needed_by(class: &Class) -> Self {
        let mut filter = Self::default();
        for constraint in &class.constraints {
            match &constraint.op {
                ConstraintOp::Equals(value) => filter.insert(hash(&constraint.label, Some(value))),
                ConstraintOp::In(_) | ConstraintOp::Exists => {
                    filter.insert(hash(&constraint.label, None));
                }
                ConstraintOp::NotEquals(_) => {}
            }
        }
        filter
    }

    /// Returns whether every label of `wanted` may be present.
    pub(super) fn contains(self, wanted: Self) -> bool {
        self.0.iter().zip(wanted.0).all(|(has, wants)| has & wants == wants)
    }

    /// Returns whether a label, with this value if one is given, may be present.
    pub(super) fn may_contain(self, label: &str, value: Option<&str>) -> bool {
        let mut wanted = Self::default();
        wanted.insert(hash(label, value));
        self.contains(wanted)
    }

    /// Returns the labels that are in either filter.
    pub(super) fn union(mut self, other: Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        self
    }

    fn insert(&mut self, hash: u64) {
        let position = usize::try_from(hash >> 62).unwrap_or(0);
        if let Some(word) = self.0.get_mut(position) {
            *word |= 1 << (hash & 63);
        }
    }
}

/// Hashes with FNV-1a, then mixes so that names that differ in a digit differ in all bits. The hash
/// is the same on every master and in every release.
pub(super) fn hash(name: &str, value: Option<&str>) -> u64 {
    // Separates label and value: UTF-8 does not use this byte.
    let value = value.into_iter().flat_map(|value| std::iter::once(0xff).chain(value.bytes()));
    let mut hash = Fnv1a::default();
    hash.write(name.bytes().chain(value));
    mix(hash.finish())
}

/// Spreads a difference in any bit over all bits.
pub(super) const fn mix(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}
