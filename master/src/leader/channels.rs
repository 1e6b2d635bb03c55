//! Kept-open connections to workers, by address.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cluster_state::WorkerId;
use proto::worker_client::WorkerClient;

/// One connection per worker, dialled again when its address changes.
#[derive(Debug, Default)]
pub struct WorkerChannels {
    by_worker: Mutex<HashMap<WorkerId, (String, WorkerClient)>>,
}

impl WorkerChannels {
    /// The connection to a worker; nothing when the address is unusable.
    pub fn get(&self, worker: &WorkerId, address: &str) -> Option<WorkerClient> {
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = by_worker.get(worker)
            && known == address
        {
            return Some(client.clone());
        }
        let client = WorkerClient::new(address).ok()?;
        by_worker.insert(worker.clone(), (address.to_owned(), client.clone()));
        Some(client)
    }

    /// Keeps a connection that has served, in place of any other to that worker.
    pub fn keep(&self, worker: &WorkerId, address: &str, client: WorkerClient) {
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        by_worker.insert(worker.clone(), (address.to_owned(), client));
    }

    /// Closes the connection to a worker that is gone or unreachable.
    pub fn close(&self, worker: &WorkerId) {
        self.by_worker.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }
}
