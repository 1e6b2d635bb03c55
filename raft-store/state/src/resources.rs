//! Resources of tasks and workers: exact integers, so that sums always agree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Amounts of each kind of resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk space in MiB.
    pub storage_mib: u64,
    /// Whole GPUs.
    pub gpu: u64,
    /// Number of attempts at once.
    pub slots: u64,
    /// Countable resources that an operator named, such as licenses.
    pub custom: BTreeMap<Arc<str>, u64>,
}

/// The first kind of resource of which there is too little.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Kind of resource: `cpu`, `memory_mb`, `storage_mb`, `gpu`, `attempts` or a custom name.
    pub kind: Arc<str>,
    /// Amount that was asked for, in that kind's unit.
    pub wanted: u64,
    /// Amount that there is.
    pub available: u64,
}

impl Resources {
    /// Slots of a worker that takes any number of attempts: more than there can be tasks.
    pub const SLOTS_UNBOUNDED: u64 = 1 << 52;

    /// Returns the sum, or `None` if it does not fit the number type.
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.zip(other, u64::checked_add)
    }

    /// Returns the difference, or `None` if any kind would go below zero.
    #[must_use]
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.zip(other, u64::checked_sub)
    }

    /// Returns what is left of `self` after `other`; nothing is left of a kind that is overdrawn.
    #[must_use]
    pub fn saturating_sub(&self, other: &Self) -> Self {
        self.zip(other, |a, b| Some(a.saturating_sub(b))).unwrap_or_default()
    }

    /// Checks that `self` holds at least `wanted` of every kind, and returns the first kind that is
    /// short otherwise.
    pub fn covers(&self, wanted: &Self) -> Result<(), Shortage> {
        self.shortages(wanted).next().map_or(Ok(()), Err)
    }

    /// Returns whether `self` holds at least `wanted` of every kind.
    #[must_use]
    pub fn holds(&self, wanted: &Self) -> bool {
        self.short(wanted).next().is_none()
    }

    /// Returns the kinds of which `self` holds less than is wanted.
    pub fn shortages<'a>(&'a self, wanted: &'a Self) -> impl Iterator<Item = Shortage> + 'a {
        let short = self.short(wanted);
        short.map(|(kind, wanted, available)| Shortage { kind: kind.into(), wanted, available })
    }

    /// Returns the kinds that are short, with the wanted and the available amount.
    fn short<'a>(&'a self, wanted: &'a Self) -> impl Iterator<Item = (&'a str, u64, u64)> {
        let fixed = [
            ("cpu", wanted.cpu_milli, self.cpu_milli),
            ("memory_mb", wanted.memory_mib, self.memory_mib),
            ("storage_mb", wanted.storage_mib, self.storage_mib),
            ("gpu", wanted.gpu, self.gpu),
            ("attempts", wanted.slots, self.slots),
        ];
        let custom = wanted
            .custom
            .iter()
            .map(|(kind, wanted)| (&**kind, *wanted, self.custom.get(kind).copied().unwrap_or(0)));
        fixed.into_iter().chain(custom).filter(|(_, wanted, available)| wanted > available)
    }

    /// Returns the share in use of the scarcest kind, custom kinds included, in parts per million,
    /// when `free` is left of `self`. Kinds with a total of zero do not count.
    #[must_use]
    pub fn dominant_share(&self, free: &Self) -> u64 {
        let fixed = [
            (self.cpu_milli, free.cpu_milli),
            (self.memory_mib, free.memory_mib),
            (self.storage_mib, free.storage_mib),
            (self.gpu, free.gpu),
            (self.slots, free.slots),
        ];
        let custom = self
            .custom
            .iter()
            .map(|(kind, total)| (*total, free.custom.get(kind).copied().unwrap_or(0)));
        let share = |(total, free): (u64, u64)| {
            let used = u128::from(total.saturating_sub(free));
            u64::try_from((used * 1_000_000).checked_div(u128::from(total))?).ok()
        };
        fixed.into_iter().chain(custom).filter_map(share).max().unwrap_or(0)
    }

    /// Raises every kind to at least its amount in `other`.
    pub(crate) fn raise_to(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory_mib = self.memory_mib.max(other.memory_mib);
        self.storage_mib = self.storage_mib.max(other.storage_mib);
        self.gpu = self.gpu.max(other.gpu);
        self.slots = self.slots.max(other.slots);
        for (kind, amount) in &other.custom {
            let most = self.custom.entry(Arc::clone(kind)).or_default();
            *most = (*most).max(*amount);
        }
    }

    /// Lowers every kind to at most its amount in `other`.
    pub(crate) fn lower_to(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.min(other.cpu_milli);
        self.memory_mib = self.memory_mib.min(other.memory_mib);
        self.storage_mib = self.storage_mib.min(other.storage_mib);
        self.gpu = self.gpu.min(other.gpu);
        self.custom.retain(|kind, amount| {
            *amount = (*amount).min(other.custom.get(kind).copied().unwrap_or(0));
            *amount > 0
        });
    }

    /// Returns how many times `each` fits; `u64::MAX` if it asks for nothing.
    #[must_use]
    pub fn times(&self, each: &Self) -> u64 {
        let fixed = [
            (self.cpu_milli, each.cpu_milli),
            (self.memory_mib, each.memory_mib),
            (self.storage_mib, each.storage_mib),
            (self.gpu, each.gpu),
            (self.slots, each.slots),
        ];
        let custom = each
            .custom
            .iter()
            .map(|(kind, each)| (self.custom.get(kind).copied().unwrap_or(0), *each));
        fixed
            .into_iter()
            .chain(custom)
            .filter_map(|(have, each)| have.checked_div(each))
            .min()
            .unwrap_or(u64::MAX)
    }

    fn zip(&self, other: &Self, op: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        let mut custom = self.custom.clone();
        for (kind, amount) in &other.custom {
            let sum = op(custom.get(kind).copied().unwrap_or(0), *amount)?;
            // A kind at zero is left out, so that equal amounts are equal values.
            if sum == 0 {
                custom.remove(kind);
            } else {
                custom.insert(Arc::clone(kind), sum);
            }
        }
        Some(Self {
            cpu_milli: op(self.cpu_milli, other.cpu_milli)?,
            memory_mib: op(self.memory_mib, other.memory_mib)?,
            storage_mib: op(self.storage_mib, other.storage_mib)?,
            gpu: op(self.gpu, other.gpu)?,
            slots: op(self.slots, other.slots)?,
            custom,
        })
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = if &*self.kind == "cpu" { " thousandths" } else { "" };
        write!(f, "{}: {}{thousandths} wanted, {} free", self.kind, self.wanted, self.available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(cpu_milli: u64, memory_mib: u64) -> Resources {
        Resources { cpu_milli, memory_mib, ..Resources::default() }
    }

    fn licenses(amount: u64) -> Resources {
        Resources { custom: BTreeMap::from([("license".into(), amount)]), ..Resources::default() }
    }

    #[test]
    fn what_was_added_can_be_taken_away_again() {
        let mut each = licenses(2);
        each.cpu_milli = 500;
        let sum = amounts(1, 1).checked_add(&each).unwrap();

        assert_eq!(sum.cpu_milli, 501);
        assert_eq!(sum.checked_sub(&each), Some(amounts(1, 1)));
        assert_eq!(sum.saturating_sub(&each), amounts(1, 1));
    }

    #[test]
    fn sums_and_differences_never_leave_the_number_type() {
        assert_eq!(amounts(u64::MAX, 0).checked_add(&amounts(1, 0)), None);
        assert_eq!(licenses(u64::MAX).checked_add(&licenses(1)), None);
        assert_eq!(amounts(1, 1).checked_sub(&amounts(0, 2)), None);
        assert_eq!(amounts(1, 1).checked_sub(&licenses(1)), None);
        assert_eq!(amounts(1, 1).saturating_sub(&amounts(0, 2)), amounts(1, 0));
    }

    #[test]
    fn the_first_kind_that_is_short_is_named() {
        let short =
            |kind: &str, wanted, available| Err(Shortage { kind: kind.into(), wanted, available });

        assert_eq!(amounts(2, 2).covers(&amounts(2, 2)), Ok(()));
        assert_eq!(amounts(2, 2).covers(&amounts(3, 3)), short("cpu", 3, 2));
        assert_eq!(amounts(2, 2).covers(&amounts(0, 3)), short("memory_mb", 3, 2));
        assert_eq!(amounts(2, 2).covers(&licenses(1)), short("license", 1, 0));
        assert_eq!(licenses(1).covers(&licenses(0)), Ok(()));
    }

    #[test]
    fn a_shortage_is_told_in_the_unit_of_its_kind() {
        let text = |has: Resources, wanted| has.covers(&wanted).unwrap_err().to_string();

        assert_eq!(
            text(amounts(500, 0), amounts(1000, 0)),
            "cpu: 1000 thousandths wanted, 500 free"
        );
        assert_eq!(text(amounts(0, 1), amounts(0, 2)), "memory_mb: 2 wanted, 1 free");
    }

    #[test]
    fn the_scarcest_kind_is_the_dominant_one() {
        let total = Resources { cpu_milli: 4000, memory_mib: 100, ..licenses(3) };
        let share = |free: Resources| total.dominant_share(&free);
        let custom = || licenses(3).custom;

        assert_eq!(share(total.clone()), 0);
        assert_eq!(share(Resources { custom: custom(), ..amounts(1000, 50) }), 750_000);
        assert_eq!(share(Resources { custom: custom(), ..amounts(3000, 0) }), 1_000_000);
        assert_eq!(share(Resources { custom: licenses(2).custom, ..amounts(4000, 100) }), 333_333);
        assert_eq!(Resources::default().dominant_share(&Resources::default()), 0);
        assert_eq!(amounts(u64::MAX, 0).dominant_share(&amounts(0, 0)), 1_000_000);
    }

    #[test]
    fn the_scarcest_kind_says_how_often_it_fits() {
        assert_eq!(amounts(4000, 3).times(&amounts(1000, 1)), 3);
        assert_eq!(amounts(4000, 3).times(&amounts(1000, 0)), 4);
        assert_eq!(amounts(4000, 3).times(&licenses(1)), 0);
        assert_eq!(licenses(5).times(&licenses(2)), 2);
        assert_eq!(amounts(0, 0).times(&Resources::default()), u64::MAX);
    }
}
