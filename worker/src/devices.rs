//! Devices of the machine, such as GPUs, and the attempts to which they are assigned.
//!
//! An attempt has its devices from before its process starts until nothing is left of it, so no two
//! attempts have the same one. Attempts end with the worker, and so do their assignments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptRef, Resources};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

mod files;
mod found;
mod nvml;
mod pool;
mod source;

pub(crate) use found::find;
use pool::{Assigned, Pool, Turn};
pub(crate) use source::{Device, Kind, Sighting};
use source::{Source, SourceError};

/// Time that an attempt waits for devices of attempts that are ending: longer than killed processes
/// take to disappear.
const PATIENCE: Duration = Duration::from_secs(10);
/// Variable with the GPUs of an attempt, whatever program uses them.
const GPUS: &str = "CLOUDAI_GPUS";
/// Variable by which CUDA knows which GPUs a program may see. Where it is an empty text, there are none
/// ("CUDA Environment Variables" in NVIDIA's programming guide).
const CUDA_VISIBLE_DEVICES: &str = "CUDA_VISIBLE_DEVICES";
/// Order in which CUDA counts GPUs: as everybody else does, for GPUs that are named by number.
const CUDA_DEVICE_ORDER: (&str, &str) = ("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
/// Beginning of the variable with the devices of another kind.
const OTHERS: &str = "CLOUDAI_DEVICES_";

/// Cheap handle on the devices of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sources: BTreeMap<Kind, Box<dyn Source>>,
    pool: Mutex<Pool>,
    offer: watch::Sender<Offer>,
    /// Changes whenever a device has become free.
    freed: watch::Sender<()>,
}

/// Number of devices of each kind that may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer(pub(crate) BTreeMap<Kind, u64>);

impl Offer {
    /// Returns the resources of a worker that has these devices beside other things.
    #[must_use]
    pub(crate) fn amend(&self, total: Resources) -> Resources {
        let mut amended = total;
        for (kind, count) in &self.0 {
            match kind {
                Kind::Gpu => amended.gpu = *count,
                Kind::Custom(name) => {
                    amended.custom.remove(name);
                    if *count > 0 {
                        amended.custom.insert(Arc::clone(name), *count);
                    }
                }
            }
        }
        amended
    }
}

/// Devices of one attempt, which are free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    devices: Devices,
    attempt: AttemptRef,
    ids: BTreeMap<Kind, Vec<String>>,
}

impl Devices {
    /// Looks at the devices for the first time. It blocks.
    #[must_use]
    pub(crate) fn open(sources: BTreeMap<Kind, Box<dyn Source>>) -> Self {
        let mut pool = Pool::default();
        for (kind, source) in &sources {
            let found = source.look().unwrap_or_else(|error| {
                warn!(%kind, %error, "cannot look for devices");
                Vec::new()
            });
            for Sighting { device: Device { id, number, about }, fault } in &found {
                match fault {
                    None => info!(%kind, id, number, about, "device found"),
                    Some(fault) => warn!(%kind, id, number, about, fault, "device left out"),
                }
            }
            pool.add(kind.clone(), found);
        }
        let offer = watch::Sender::new(Offer(pool.offer()));
        let shared =
            Shared { sources, pool: Mutex::new(pool), offer, freed: watch::Sender::new(()) };
        Self { shared: Arc::new(shared) }
    }

    /// Returns true if there is nothing to assign.
    #[must_use]
    pub(crate) fn are_none(&self) -> bool {
        self.shared.sources.is_empty()
    }

    /// Returns the number of devices of each kind, as it changes.
    #[must_use]
    pub(crate) fn offer(&self) -> watch::Receiver<Offer> {
        self.shared.offer.subscribe()
    }

    /// Looks at the devices again, and leaves out those that fail. It blocks.
    pub(crate) fn look(&self) {
        for (kind, source) in &self.shared.sources {
            let found = source.look();
            for turn in self.shared.pool.lock().on_looked(kind, found.as_deref()) {
                match turn {
                    Turn::Failed { id, fault } => {
                        warn!(%kind, id, fault, "device fails, it is given to nobody");
                    }
                    Turn::Recovered { id } => info!(%kind, id, "device works again"),
                }
            }
        }
        self.publish();
        self.shared.freed.send_replace(());
    }

    /// Assigns devices to an attempt that occupies these resources. Waits a moment for those of attempts
    /// that are ending.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub(crate) async fn acquire(
        &self,
        attempt: AttemptRef,
        room: Option<&Resources>,
    ) -> Result<Option<Held>, String> {
        // A leader of release 0.2 does not say what an attempt occupies.
        let Some(wanted) = room.filter(|_| !self.are_none()) else { return Ok(None) };
        let give_up_at = Instant::now() + PATIENCE;
        let mut freed = self.shared.freed.subscribe();
        loop {
            let assigned = self.shared.pool.lock().assign(attempt, wanted);
            let reason = match assigned {
                Assigned::Devices(ids) => {
                    return Ok(Some(Held { devices: self.clone(), attempt, ids }));
                }
                Assigned::Busy(reason) => reason,
                Assigned::Lacking(reason) => return Err(reason),
            };
            tokio::select! {
                // `self` holds the sender, so the channel stays open.
                changed = freed.changed() => changed.unwrap_or_default(),
                () = sleep_until(give_up_at) => return Err(reason),
            }
        }
    }

    fn publish(&self) {
        let now = Offer(self.shared.pool.lock().offer());
        self.shared.offer.send_if_modified(|told| {
            let is_news = *told != now;
            *told = now;
            is_news
        });
    }
}

impl Held {
    /// Returns the variables that tell the attempt its devices, of each kind that the worker has.
    #[must_use]
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for (kind, ids) in &self.ids {
            let ids = ids.join(",");
            match kind {
                Kind::Gpu => {
                    if ids.starts_with(|first: char| first.is_ascii_digit()) {
                        let (name, order) = CUDA_DEVICE_ORDER;
                        variables.push((name.to_owned(), order.to_owned()));
                    }
                    variables.push((GPUS.to_owned(), ids.clone()));
                    variables.push((CUDA_VISIBLE_DEVICES.to_owned(), ids));
                }
                Kind::Custom(name) => variables.push((variable_of(name), ids)),
            }
        }
        variables
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.devices.shared.pool.lock().release(self.attempt);
        // One that fails may have been in use.
        self.devices.publish();
        self.devices.shared.freed.send_replace(());
    }
}

/// Returns the variable with the devices of a kind.
pub(crate) fn variable_of(kind: &str) -> String {
    let name =
        kind.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    OTHERS.chars().chain(name).collect()
}

#[cfg(test)]
pub(crate) mod tests;
