//! Devices of the machine, such as GPUs, and the attempts to which they are assigned.
//!
//! An attempt has its devices from before its process starts until nothing is left of it, so no two
//! attempts have the same one. Attempts end with the worker, and so do their assignments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptRef, Resources};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

mod files;
mod found;
mod nvml;
mod pool;
mod source;

use found::find;
use pool::{Assigned, Pool, Turn};
pub(crate) use source::{Device, Kind, Sighting};
use source::{Source, SourceError};

/// Time that an attempt waits for devices of attempts that are ending: longer than killed processes
/// take to disappear.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for a look at devices, after which the driver hangs.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// Time before an attempt is given back for which too few devices work: the leader has heard of that by then.
const PAUSE: Duration = Duration::from_secs(1);
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
            let found = match source.look() {
                Ok(found) => found,
                Err(error) => {
                    warn!(%kind, %error, "cannot list devices, they are given to nobody until it is possible");
                    pool.add_unknown(kind.clone());
                    continue;
                }
            };
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
                    Turn::Recovered { id } => info!(%kind, id, "device works"),
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
        let begun_at = Instant::now();
        let mut freed = self.shared.freed.subscribe();
        loop {
            let assigned = self.shared.pool.lock().assign(attempt, wanted);
            let (reason, give_up_at) = match assigned {
                Assigned::Devices(ids) => {
                    return Ok(Some(Held { devices: self.clone(), attempt, ids }));
                }
                Assigned::Busy(reason) => (reason, begun_at + PATIENCE),
                Assigned::Lacking(reason) => (reason, begun_at + PAUSE),
            };
            tokio::select! {
                // `self` holds the sender, so the channel stays open.
                changed = freed.changed() => changed.unwrap_or_default(),
                () = sleep_until(give_up_at) => return Err(reason),
            }
        }
    }

    /// Looks at the devices again, in a thread of its own: a driver may never answer. If it does not for a
    /// while, they are given to nobody until it does.
    pub(crate) async fn look_aside(&self) {
        let devices = self.clone();
        let Some(looked) = aside(move || devices.look()) else { return };
        tokio::pin!(looked);
        if timeout(LOOK_MAX, &mut looked).await.is_err() {
            self.on_hung();
            looked.await.unwrap_or_default();
        }
    }

    /// Takes in that nothing can be said of the devices.
    fn on_hung(&self) {
        let hung = SourceError(format!("no answer for {} s", LOOK_MAX.as_secs()));
        for kind in self.shared.sources.keys() {
            warn!(%kind, error = %hung, "cannot look at devices, they are given to nobody until it is possible");
            self.shared.pool.lock().on_looked(kind, Err(&hung));
        }
        self.publish();
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

/// Finds the devices of a worker, and looks at them for the first time. GPUs of a driver that does not answer
/// are left out.
pub(crate) async fn open(listed: BTreeMap<String, Vec<String>>, gpus: Option<u64>) -> Devices {
    let all = listed.clone();
    let opening = aside(move || Devices::open(find(all, gpus)));
    let opened = match opening {
        Some(opening) => timeout(LOOK_MAX, opening).await.ok().and_then(Result::ok),
        None => None,
    };
    opened.unwrap_or_else(|| {
        warn!(
            "the driver of the GPUs does not answer: this worker has none until it is started again"
        );
        Devices::open(find(listed, Some(0)))
    })
}

/// Does work that may never end, in a thread for which nobody waits at the end of this process.
fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("devices".to_owned());
    // Nobody may wait any more.
    let spawned = thread.spawn(move || drop(done.send(work())));
    spawned.inspect_err(|error| warn!(%error, "cannot look at devices")).ok().map(|_| result)
}

/// Returns the variable with the devices of a kind.
pub(crate) fn variable_of(kind: &str) -> String {
    let name =
        kind.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    OTHERS.chars().chain(name).collect()
}

#[cfg(test)]
pub(crate) mod tests;
