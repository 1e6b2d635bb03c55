//! Connections to workers.

use std::collections::HashMap;
use std::time::Duration;

use cluster_state::WorkerId;
use parking_lot::{Mutex, MutexGuard};
use proto::channel::Dialer;
use proto::worker_client::WorkerClient;
use tokio::time::Instant;

/// Time after which an unused connection is closed: most workers get no orders for a while, and an
/// open connection to each would double the cost of a fleet.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Connections kept, of some 40 KiB each. Beyond that the least recently used one is closed.
const KEPT_MAX: usize = 2_048;

/// One connection for each worker, dialed again when the worker's address changes.
#[derive(Debug)]
pub(crate) struct WorkerChannels {
    dialer: Dialer,
    by_worker: Mutex<HashMap<WorkerId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    address: String,
    client: WorkerClient,
    used_at: Instant,
}

impl WorkerChannels {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, by_worker: Mutex::default() }
    }

    /// Returns the connection to a worker; nothing when the address is unusable.
    pub(crate) fn get(&self, worker: &WorkerId, address: &str) -> Option<WorkerClient> {
        let now = Instant::now();
        let mut by_worker = self.by_worker();
        if let Some(kept) = by_worker.get_mut(worker).filter(|kept| kept.address == address) {
            kept.used_at = now;
            return Some(kept.client.clone());
        }
        let client = WorkerClient::new(&self.dialer, worker, address).ok()?;
        put(&mut by_worker, worker, address, client.clone(), now);
        Some(client)
    }

    /// Closes the connection to a worker that is gone or unreachable, or whose address may belong
    /// to another worker now: host names are resolved only when a connection is dialed.
    pub(crate) fn close(&self, worker: &WorkerId) {
        self.by_worker().remove(worker);
    }

    /// Closes idle connections.
    pub(crate) fn close_idle(&self, now: Instant) {
        let is_used = |kept: &Kept| now.saturating_duration_since(kept.used_at) < IDLE_MAX;
        self.by_worker().retain(|_, kept| is_used(kept));
    }

    /// Tells whether no connection is open.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_worker().is_empty()
    }

    fn by_worker(&self) -> MutexGuard<'_, HashMap<WorkerId, Kept>> {
        self.by_worker.lock()
    }
}

fn put(
    by_worker: &mut HashMap<WorkerId, Kept>,
    worker: &WorkerId,
    address: &str,
    client: WorkerClient,
    now: Instant,
) {
    if by_worker.len() >= KEPT_MAX && !by_worker.contains_key(worker) {
        let oldest = by_worker.iter().min_by_key(|(_, kept)| kept.used_at);
        if let Some(oldest) = oldest.map(|(worker, _)| worker.clone()) {
            by_worker.remove(&oldest);
        }
    }
    let kept = Kept { address: address.to_owned(), client, used_at: now };
    by_worker.insert(worker.clone(), kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(channels: &WorkerChannels) -> usize {
        channels.by_worker().len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_while_it_is_used() {
        let (channels, worker) = (WorkerChannels::new(Dialer::plain()), "w1".parse().unwrap());
        assert!(channels.get(&worker, "127.0.0.1:9").is_some());
        tokio::time::advance(IDLE_MAX / 2).await;
        assert!(channels.get(&worker, "127.0.0.1:9").is_some());
        tokio::time::advance(IDLE_MAX / 2).await;
        channels.close_idle(Instant::now());
        assert_eq!(kept(&channels), 1);

        tokio::time::advance(IDLE_MAX / 2).await;
        channels.close_idle(Instant::now());
        assert!(channels.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_connection_makes_room() {
        let channels = WorkerChannels::new(Dialer::plain());
        let worker = |number: usize| format!("w{number}").parse::<WorkerId>().unwrap();
        for number in 0..=KEPT_MAX {
            channels.get(&worker(number), "127.0.0.1:9");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(kept(&channels), KEPT_MAX);
        assert!(!channels.by_worker().contains_key(&worker(0)));
    }
}
