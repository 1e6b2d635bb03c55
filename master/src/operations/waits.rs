//! Requests that wait for something to happen to one task. A single reader of the feed wakes them,
//! so that a thousand waiting requests cost no more than the tasks they wait for.

use std::collections::HashMap;
use std::sync::Arc;

use cluster_state::{Change, Record, TaskId};
use parking_lot::{Mutex, MutexGuard};
use raft_store::{Published, StateReader};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

/// The tasks that somebody waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskWaits {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Dropping a sender wakes everybody who waits for that task.
    tasks: Mutex<HashMap<TaskId, watch::Sender<()>>>,
    arrived: Notify,
}

/// One request's interest in a task.
#[derive(Debug)]
pub(crate) struct TaskWait {
    shared: Arc<Shared>,
    id: TaskId,
    news: Option<watch::Receiver<()>>,
}

impl TaskWaits {
    /// Listens for news of a task: look at the task after this call, not before.
    pub(crate) fn listen(&self, id: TaskId) -> TaskWait {
        let shared = Arc::clone(&self.shared);
        let news = shared.tasks().entry(id).or_insert_with(|| watch::Sender::new(())).subscribe();
        shared.arrived.notify_one();
        TaskWait { shared, id, news: Some(news) }
    }

    /// Reads the feed while anybody waits.
    pub(crate) async fn run(self, reader: StateReader, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.arrived.notified() => {}
            }

            let mut feed = reader.subscribe();
            // What happened before the subscription is not in the feed.
            self.shared.tasks().clear();
            while !self.shared.tasks().is_empty() {
                let batch = tokio::select! {
                    () = stop.cancelled() => return,
                    batch = feed.recv() => batch,
                };
                match batch {
                    Ok(Published::Applied(batch)) => {
                        self.wake(batch.changes.iter().map(|(_, change)| change));
                    }
                    Ok(Published::Installed(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.shared.tasks().clear();
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        }
    }

    fn wake<'a>(&self, changes: impl Iterator<Item = &'a Change>) {
        let mut tasks = self.shared.tasks();
        for change in changes {
            if let Change::Put(Record::Task(task)) = change {
                tasks.remove(&task.id);
            }
        }
    }
}

impl TaskWait {
    /// Returns when something may have happened to the task. Listen again before the next look.
    pub(crate) async fn news(mut self) {
        let Some(news) = self.news.as_mut() else { return };
        // That the sender is gone is the news.
        news.changed().await.ok();
    }
}

impl Drop for TaskWait {
    fn drop(&mut self) {
        self.news = None;
        let mut tasks = self.shared.tasks();
        if tasks.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            tasks.remove(&self.id);
        }
    }
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, watch::Sender<()>>> {
        self.tasks.lock()
    }
}
