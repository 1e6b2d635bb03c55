//! Sums of resources over many tasks or workers, by which queues share the fleet.

use crate::Resources;

/// Kinds of resources that all workers have: processors, memory, disk space and GPUs.
const KINDS: usize = 4;

/// A sum of resources, of the kinds that all workers have. It never overflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint([u128; KINDS]);

impl Footprint {
    /// Parts of a whole, as [`Self::share_of`] counts them.
    const PARTS: u128 = 1_000_000_000;

    /// Adds resources.
    pub fn add(&mut self, resources: &Resources) {
        for (sum, amount) in self.0.iter_mut().zip(amounts(resources)) {
            *sum = sum.saturating_add(amount);
        }
    }

    /// Takes away resources that were added.
    pub(crate) fn remove(&mut self, resources: &Resources) {
        for (sum, amount) in self.0.iter_mut().zip(amounts(resources)) {
            *sum = sum.saturating_sub(amount);
        }
    }

    /// Returns the share of a whole that it takes of the scarcest kind, in parts per billion.
    #[must_use]
    pub fn share_of(&self, whole: &Self) -> u64 {
        let shares = self.0.iter().zip(whole.0).map(|(part, whole)| match whole {
            0 => 0,
            _ => part.saturating_mul(Self::PARTS) / whole,
        });
        u64::try_from(shares.max().unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

fn amounts(resources: &Resources) -> [u128; KINDS] {
    [resources.cpu_milli, resources.memory_mib, resources.storage_mib, resources.gpu]
        .map(u128::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_kind_counts() {
        let of = |cpu_milli, gpu| {
            let mut sum = Footprint::default();
            sum.add(&Resources { cpu_milli, gpu, ..Resources::default() });
            sum
        };
        assert_eq!(of(1_000, 1).share_of(&of(10_000, 2)), 500_000_000);
        assert_eq!(of(1_000, 0).share_of(&of(10_000, 2)), 100_000_000);
        assert_eq!(of(1, 1).share_of(&Footprint::default()), 0);
        let mut sum = of(u64::MAX, 0);
        sum.add(&Resources { cpu_milli: u64::MAX, ..Resources::default() });
        sum.remove(&Resources { cpu_milli: u64::MAX, ..Resources::default() });
        assert_eq!(sum, of(u64::MAX, 0));
    }
}
