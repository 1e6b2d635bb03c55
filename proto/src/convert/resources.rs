//! Converts amounts of resources: decimal processors on the wire, exact thousandths inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::Resources;

use super::faults::Faults;
use super::{Breach, Invalid, member};
use crate::problem::ErrorKind;
use crate::v1;

/// More processors than any machine has.
const CPU_MAX: u64 = 1_000_000;
/// Far beyond any machine, and 4,096 of the largest still add up within the number type.
const AMOUNT_MAX: u64 = 1 << 52;
/// Maximum number of kinds of custom resources of one task or worker.
const CUSTOM_MAX: usize = 32;
/// Maximum length of the name of a custom resource.
const CUSTOM_NAME_BYTES_MAX: usize = 64;

/// CPU of a task that names no amount.
const CPU_MILLI_DEFAULT: u64 = 1_000;
const MEMORY_MIB_DEFAULT: u64 = 512;

impl From<&Resources> for v1::Resources {
    fn from(resources: &Resources) -> Self {
        Self {
            cpu: Some(processors(resources.cpu_milli)),
            memory_mb: Some(resources.memory_mib),
            storage_mb: Some(resources.storage_mib),
            gpu: Some(resources.gpu),
            custom: resources
                .custom
                .iter()
                .map(|(kind, amount)| (kind.to_string(), *amount))
                .collect(),
        }
    }
}

impl TryFrom<v1::Resources> for Resources {
    type Error = Invalid;

    /// Converts the resources of a worker; an amount that is not named is zero.
    fn try_from(wire: v1::Resources) -> Result<Self, Invalid> {
        let mut faults = Faults::default();
        let resources = read(wire, &Self::default(), &mut faults);
        faults.finish(ErrorKind::InvalidValue, resources)
    }
}

/// Converts the resources that a task wants; an amount that is not named is the default.
pub(super) fn wanted(wire: v1::Resources, faults: &mut Faults) -> Resources {
    let defaults = Resources {
        cpu_milli: CPU_MILLI_DEFAULT,
        memory_mib: MEMORY_MIB_DEFAULT,
        slots: 1,
        ..Resources::default()
    };
    read(wire, &defaults, faults)
}

fn read(wire: v1::Resources, defaults: &Resources, faults: &mut Faults) -> Resources {
    let mut amount = |pointer: &str, named: Option<u64>, default: u64| {
        let read = named.map_or(Ok(default), bounded);
        faults.keep(pointer, read).unwrap_or_default()
    };
    let memory_mib = amount("/resources/memory_mb", wire.memory_mb, defaults.memory_mib);
    let storage_mib = amount("/resources/storage_mb", wire.storage_mb, defaults.storage_mib);
    let gpu = amount("/resources/gpu", wire.gpu, defaults.gpu);
    let cpu_milli = wire.cpu.map_or(Ok(defaults.cpu_milli), thousandths);
    Resources {
        cpu_milli: faults.keep("/resources/cpu", cpu_milli).unwrap_or_default(),
        memory_mib,
        storage_mib,
        gpu,
        slots: defaults.slots,
        custom: custom(wire.custom, faults),
    }
}

fn custom(wire: BTreeMap<String, u64>, faults: &mut Faults) -> BTreeMap<Arc<str>, u64> {
    const POINTER: &str = "/resources/custom";
    if wire.len() > CUSTOM_MAX {
        faults.add(POINTER, &Breach::TooMany { count: wire.len(), max: CUSTOM_MAX });
    }

    let mut custom = BTreeMap::new();
    for (kind, amount) in wire.into_iter().take(CUSTOM_MAX) {
        if kind.is_empty() {
            faults.add(&member(POINTER, &kind), &Breach::Required);
        }
        if kind.len() > CUSTOM_NAME_BYTES_MAX {
            let breach = Breach::TooLong { bytes: kind.len(), max: CUSTOM_NAME_BYTES_MAX };
            faults.add(&member(POINTER, &kind), &breach);
        }
        if let Err(breach) = bounded(amount) {
            faults.add(&member(POINTER, &kind), &breach);
        }

        // A kind at zero is left out, so that equal amounts are equal values.
        if amount > 0 {
            custom.insert(Arc::from(kind), amount);
        }
    }
    custom
}

fn bounded(amount: u64) -> Result<u64, Breach> {
    if amount > AMOUNT_MAX {
        return Err(Breach::OutOfRange { min: 0, max: AMOUNT_MAX });
    }
    Ok(amount)
}

/// Returns thousandths of a processor as a number of processors.
#[expect(
    clippy::cast_precision_loss,
    reason = "a thousandth is lost only beyond nine million million processors"
)]
pub fn processors(milli: u64) -> f64 {
    milli as f64 / 1_000.0
}

fn thousandths(cpu: f64) -> Result<u64, Breach> {
    let breach = Breach::Processors { max: CPU_MAX };
    let milli = (cpu * 1_000.0).round();
    let max = processors(CPU_MAX.saturating_mul(1_000)) * 1_000.0;
    if !(0.0..=max).contains(&milli) || cpu.is_sign_negative() && cpu != 0.0 {
        return Err(breach);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between zero and a thousand million, as checked above"
    )]
    let milli = milli as u64;
    // Dividing gives the nearest number to a decimal with three places, so nothing was cut.
    if processors(milli) == cpu { Ok(milli) } else { Err(breach) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_convert_exactly_or_not_at_all() {
        for (cpu, milli) in [(0.0, 0), (-0.0, 0), (0.001, 1), (0.1, 100), (2.0, 2_000)] {
            assert_eq!(thousandths(cpu), Ok(milli), "{cpu}");
        }
        for milli in (0..2_000_000).step_by(7) {
            assert_eq!(thousandths(processors(milli)), Ok(milli));
        }
        for cpu in [f64::NAN, f64::INFINITY, -1.0, -0.0001, 0.0001, 1.2345, 1_000_000.001, 1e300] {
            assert_eq!(thousandths(cpu), Err(Breach::Processors { max: CPU_MAX }), "{cpu}");
        }
    }

    #[test]
    fn resources_read_back_as_written() {
        let resources = Resources {
            cpu_milli: 1_500,
            memory_mib: 16_384,
            storage_mib: 0,
            gpu: 2,
            slots: 0,
            custom: [(Arc::from("license"), 3)].into(),
        };
        assert_eq!(Resources::try_from(v1::Resources::from(&resources)), Ok(resources));
    }

    #[test]
    fn every_amount_out_of_bounds_is_told() {
        let wire = v1::Resources {
            cpu: Some(-1.0),
            memory_mb: Some(u64::MAX),
            storage_mb: None,
            gpu: Some(AMOUNT_MAX),
            custom: [(String::new(), 1), ("a/b".to_owned(), u64::MAX)].into(),
        };
        let invalid = Resources::try_from(wire).unwrap_err();
        let pointers = invalid.faults().iter().map(|fault| fault.pointer.as_str());
        let expected = [
            "/resources/memory_mb",
            "/resources/cpu",
            "/resources/custom/",
            "/resources/custom/a~1b",
        ];
        assert_eq!(pointers.collect::<Vec<_>>(), expected);
    }
}
