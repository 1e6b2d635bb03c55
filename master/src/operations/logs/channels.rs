//! Connections to workers for reading logs: one for all readers of a worker, while there are any.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use proto::channel::InvalidAddress;
use proto::worker_client::WorkerClient;

/// The connections in use, by address.
#[derive(Debug, Default)]
pub(crate) struct LogChannels {
    open: Mutex<BTreeMap<String, Weak<WorkerClient>>>,
}

impl LogChannels {
    /// Returns the connection to the worker at `address`. It is closed when nobody holds it any
    /// more.
    pub(crate) fn get(&self, address: &str) -> Result<Arc<WorkerClient>, InvalidAddress> {
        let mut open = self.open.lock();
        if let Some(client) = open.get(address).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = Arc::new(WorkerClient::for_logs(address)?);
        open.retain(|_, client| client.strong_count() > 0);
        open.insert(address.to_owned(), Arc::downgrade(&client));
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_of_one_worker_share_a_connection_while_there_are_any() {
        let channels = LogChannels::default();
        let first = channels.get("w1:1").unwrap();
        assert!(Arc::ptr_eq(&first, &channels.get("w1:1").unwrap()));
        assert!(!Arc::ptr_eq(&first, &channels.get("w2:1").unwrap()));

        drop(first);
        channels.get("w3:1").unwrap();
        let open = channels.open.lock();
        assert_eq!(open.keys().collect::<Vec<_>>(), ["w3:1"]);
    }
}
