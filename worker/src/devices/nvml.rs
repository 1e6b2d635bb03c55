//! GPUs as NVIDIA's management library (NVML) lists them.

use std::fmt;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::{Device, Sighting, Source, SourceError};

const MIB: u64 = 1 << 20;

/// The part of the library that is needed.
pub(super) trait Library: fmt::Debug + Send + Sync {
    /// Returns the number of GPUs.
    fn count(&self) -> Result<u32, String>;

    /// Describes the GPU of this number, in the order of the PCI bus.
    fn gpu(&self, number: u32) -> Result<Gpu, String>;
}

/// A GPU, or a slice of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) uuid: String,
    pub(super) model: String,
    /// Absent where the driver does not tell it.
    pub(super) memory_bytes: Option<u64>,
    /// Its slices, where it is divided (MIG): then programs use them and not the GPU.
    pub(super) slices: Option<Vec<Self>>,
}

/// GPUs of this machine as a library lists them.
#[derive(Debug)]
pub(super) struct Gpus<L> {
    library: L,
}

impl Gpus<Loaded> {
    /// Loads the library, where there is one.
    pub(super) fn load() -> Result<Self, String> {
        let nvml = Nvml::init().map_err(|error| error.to_string())?;
        Ok(Self { library: Loaded(nvml) })
    }
}

impl<L: Library> Gpus<L> {
    #[cfg(test)]
    pub(super) const fn of(library: L) -> Self {
        Self { library }
    }
}

impl<L: Library> Source for Gpus<L> {
    fn look(&self) -> Result<Vec<Sighting>, SourceError> {
        let mut sightings = Vec::new();
        for number in 0..self.library.count().map_err(SourceError)? {
            match self.library.gpu(number) {
                Ok(Gpu { slices: Some(slices), .. }) => {
                    let slices = slices.iter().enumerate();
                    sightings
                        .extend(slices.map(|(slice, gpu)| seen(gpu, format!("{number}:{slice}"))));
                }
                Ok(gpu) => sightings.push(seen(&gpu, number.to_string())),
                // Its UUID may be unknown, too.
                Err(fault) => sightings.push(Sighting::numbered(number, Some(fault))),
            }
        }
        Ok(sightings)
    }
}

fn seen(gpu: &Gpu, number: String) -> Sighting {
    let Gpu { uuid, model, memory_bytes, slices: _ } = gpu;
    let memory = memory_bytes.map(|bytes| format!(", {} MiB", bytes / MIB)).unwrap_or_default();
    let about = format!("{model}{memory}");
    Sighting { device: Device { id: uuid.clone(), number, about }, fault: None }
}

/// The library of this machine.
#[derive(Debug)]
pub(super) struct Loaded(Nvml);

impl Library for Loaded {
    fn count(&self) -> Result<u32, String> {
        self.0.device_count().map_err(|error| error.to_string())
    }

    fn gpu(&self, number: u32) -> Result<Gpu, String> {
        self.describe(number).map_err(|error| error.to_string())
    }
}

impl Loaded {
    fn describe(&self, number: u32) -> Result<Gpu, NvmlError> {
        let gpu = self.0.device_by_index(number)?;
        let whole = describe(&gpu)?;
        // An error means that GPUs of this model are not divided.
        let is_divided = gpu.mig_mode().is_ok_and(|mode| mode.current != 0);
        if !is_divided {
            return Ok(whole);
        }
        let mut slices = Vec::new();
        for number in 0..gpu.mig_device_count()? {
            match gpu.mig_device_by_index(number) {
                Ok(slice) => slices.push(describe(&slice)?),
                // Numbers up to the greatest possible one need not be in use.
                Err(NvmlError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Gpu { slices: Some(slices), ..whole })
    }
}

fn describe(device: &nvml_wrapper::Device<'_>) -> Result<Gpu, NvmlError> {
    Ok(Gpu {
        uuid: device.uuid()?,
        model: known(device.name())?.unwrap_or_else(|| "GPU".to_owned()),
        memory_bytes: known(device.memory_info())?.map(|memory| memory.total),
        slices: None,
    })
}

/// Returns what only people want to know. That it is unknown is no fault: older drivers do not tell it, and
/// GPUs without memory of their own have nothing to tell. A GPU that does not answer is one.
fn known<T>(told: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Unknown)) => {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_people_want_to_know_is_no_fault() {
        assert_eq!(known(Ok(7)).unwrap(), Some(7));
        let lacking = NvmlError::FailedToLoadSymbol("nvmlDeviceGetMemoryInfo_v2".to_owned());
        for error in [lacking, NvmlError::NotSupported, NvmlError::NoPermission] {
            assert_eq!(known::<u64>(Err(error)).unwrap(), None);
        }
        for error in [NvmlError::GpuLost, NvmlError::ResetRequired, NvmlError::Unknown] {
            assert!(known::<u64>(Err(error)).is_err());
        }
    }
}
