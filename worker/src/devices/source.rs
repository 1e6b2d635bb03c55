//! Places that know the devices of one kind.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Fewest characters of a UUID, beside its prefix, that name a GPU.
const UUID_PART_MIN: usize = 4;
const UUID_PREFIXES: [&str; 2] = ["GPU-", "MIG-"];

/// Kind of devices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// GPUs.
    Gpu,
    /// Devices that an operator has listed, by the name of the resource as which they count.
    Custom(Arc<str>),
}

impl Kind {
    /// Returns the kind of a name in the configuration.
    #[must_use]
    pub(crate) fn named(name: &str) -> Self {
        if name == Self::GPU { Self::Gpu } else { Self::Custom(name.into()) }
    }

    const GPU: &str = "gpu";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpu => Self::GPU,
            Self::Custom(name) => name,
        })
    }
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Name by which a program opens it: a UUID, a number or a path.
    pub(crate) id: String,
    /// Number by which people know it; empty where it has none.
    pub(crate) number: String,
    /// Model and size, for people; empty where they are unknown.
    pub(crate) about: String,
}

impl Device {
    /// Returns whether that is its number, or a part of its UUID from the beginning on.
    #[must_use]
    pub(super) fn is_named(&self, name: &str) -> bool {
        let is_uuid = UUID_PREFIXES.iter().any(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.len() >= UUID_PART_MIN)
        });
        !name.is_empty() && (self.number == name || (is_uuid && self.id.starts_with(name)))
    }
}

/// A device as it was just found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) device: Device,
    /// Reason that it cannot be used, if it cannot.
    pub(crate) fault: Option<String>,
}

impl Sighting {
    /// Creates a sighting of a device of which only the name is known.
    #[must_use]
    pub(crate) fn of(id: impl Into<String>, fault: Option<String>) -> Self {
        let device = Device { id: id.into(), number: String::new(), about: String::new() };
        Self { device, fault }
    }

    /// Creates a sighting of a device that is known by its number only.
    #[must_use]
    pub(crate) fn numbered(number: u32, fault: Option<String>) -> Self {
        let number = number.to_string();
        let device = Device { id: number.clone(), number, about: String::new() };
        Self { device, fault }
    }
}

/// Reason that devices cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SourceError(pub(crate) String);

/// A place that knows the devices of one kind.
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// Lists the devices in the same order each time. It blocks.
    fn look(&self) -> Result<Vec<Sighting>, SourceError>;
}

/// Devices that an operator has listed. Those that are paths must exist.
#[derive(Debug)]
pub(super) struct Listed(pub(super) Vec<String>);

impl Source for Listed {
    fn look(&self) -> Result<Vec<Sighting>, SourceError> {
        let sightings = self.0.iter().map(|id| {
            let missing = id.starts_with('/').then(|| Path::new(id).metadata().err()).flatten();
            Sighting::of(id, missing.map(|error| error.to_string()))
        });
        Ok(sightings.collect())
    }
}
