//! Connections to workers for reading logs: one for all readers of a worker at one rate, while there
//! are any.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use cluster_state::WorkerId;
use parking_lot::Mutex;
use proto::channel::{Dialer, InvalidAddress};
use proto::output::Flow;
use proto::worker_client::WorkerClient;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of readers for whom much is on its way at the same time: all others would be no
/// faster beside them, and when all of them stop to read, little more than 2 MiB waits for them.
const FAST_READERS_MAX: usize = 8;

/// The connections in use.
#[derive(Debug)]
pub(crate) struct LogChannels {
    dialer: Dialer,
    open: Mutex<BTreeMap<Line, Weak<WorkerClient>>>,
    fast_readers: Arc<Semaphore>,
}

/// A worker at an address, at one rate.
type Line = (WorkerId, String, Flow);

impl LogChannels {
    pub(crate) fn new(dialer: Dialer) -> Self {
        let fast_readers = Arc::new(Semaphore::new(FAST_READERS_MAX));
        Self { dialer, open: Mutex::default(), fast_readers }
    }

    /// Returns the connection to a worker at `address`. It is closed when nobody holds it any
    /// more.
    pub(super) fn get(
        &self,
        worker: &WorkerId,
        address: &str,
        flow: Flow,
    ) -> Result<Arc<WorkerClient>, InvalidAddress> {
        let key = (worker.clone(), address.to_owned(), flow);
        let mut open = self.open.lock();
        if let Some(client) = open.get(&key).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = Arc::new(WorkerClient::for_logs(&self.dialer, worker, address, flow)?);
        open.retain(|_, client| client.strong_count() > 0);
        open.insert(key, Arc::downgrade(&client));
        Ok(client)
    }

    /// Takes a place among the fast readers, if there is one.
    pub(super) fn fast_reader(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.fast_readers).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_readers_are_fast_at_the_same_time() {
        let channels = LogChannels::new(Dialer::plain());
        let fast = (0..FAST_READERS_MAX).map(|_| channels.fast_reader().unwrap());
        let fast = fast.collect::<Vec<_>>();
        assert!(channels.fast_reader().is_none());
        drop(fast);
        assert!(channels.fast_reader().is_some());
    }

    #[tokio::test]
    async fn readers_of_one_worker_share_a_connection_while_there_are_any() {
        let channels = LogChannels::new(Dialer::plain());
        let worker = "w".parse().unwrap();
        let get = |address: &str| channels.get(&worker, address, Flow::Narrow).unwrap();
        let first = get("w1:1");
        assert!(Arc::ptr_eq(&first, &get("w1:1")));
        assert!(!Arc::ptr_eq(&first, &get("w2:1")));
        assert!(!Arc::ptr_eq(&first, &channels.get(&worker, "w1:1", Flow::Wide).unwrap()));

        drop(first);
        get("w3:1");
        let open = channels.open.lock();
        assert_eq!(
            open.keys().collect::<Vec<_>>(),
            [&(worker.clone(), "w3:1".to_owned(), Flow::Narrow)]
        );
    }
}
