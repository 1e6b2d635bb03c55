//! Named queues: listed, shown, set, paused, deleted.

use std::sync::Arc;

use cluster_state::{
    Command, DeleteQueue, Hold, PauseQueue, PutQueue, Queue, QueueLoad, QueueName, State, Timestamp,
};
use proto::convert::NewQueue;
use proto::problem::{ErrorKind, Problem};

use super::{Answer, Operations, Reading};
use crate::access::{Action, Caller};

/// A named queue, and what its tasks do.
#[derive(Debug)]
pub(crate) struct ShownQueue {
    pub(crate) name: QueueName,
    /// Absent for a queue of which nobody has said anything.
    pub(crate) queue: Option<Arc<Queue>>,
    pub(crate) load: QueueLoad,
    /// Part of the fleet that its tasks occupy, in parts per billion.
    pub(crate) share: u64,
    /// Reason why it starts no task now.
    pub(crate) held: Option<Hold>,
}

impl Operations {
    /// Returns all named queues, by name, to callers who may know of all tasks.
    pub(crate) async fn named_queues(
        &self,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<Vec<ShownQueue>>, Problem> {
        by.check_all_tasks(Action::ReadTasks)?;
        let mark = self.reach(reading).await?;
        let now = self.node().clock().now();
        let queues = self.node().reader().with(|state| {
            let names = state.queue_names().into_iter();
            names.map(|name| shown(state, name, now)).collect()
        });
        Ok(mark.on(queues))
    }

    /// Returns a named queue.
    pub(crate) async fn named_queue(
        &self,
        name: QueueName,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<ShownQueue>, Problem> {
        by.check_all_tasks(Action::ReadTasks)?;
        let mark = self.reach(reading).await?;
        Ok(mark.on(self.known_queue(name)?))
    }

    /// Creates a named queue, or changes its settings.
    pub(crate) async fn put_queue(
        &self,
        new: NewQueue,
        by: &Caller,
    ) -> Result<Answer<ShownQueue>, Problem> {
        let NewQueue { name, settings, known_at } = new;
        let command = Command::PutQueue(PutQueue { name: name.clone(), settings, known_at });
        let mark = self.order(command, by).await?.mark;
        self.reach(Reading::default()).await?;
        Ok(mark.on(self.known_queue(name)?))
    }

    /// Pauses or resumes a named queue.
    pub(crate) async fn pause_queue(
        &self,
        name: QueueName,
        is_paused: bool,
        by: &Caller,
    ) -> Result<Answer<ShownQueue>, Problem> {
        let command = Command::PauseQueue(PauseQueue { name: name.clone(), is_paused });
        let mark = self.order(command, by).await?.mark;
        self.reach(Reading::default()).await?;
        Ok(mark.on(self.known_queue(name)?))
    }

    /// Deletes a named queue.
    pub(crate) async fn delete_queue(
        &self,
        name: QueueName,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let command = Command::DeleteQueue(DeleteQueue { name });
        Ok(self.order(command, by).await?.map(drop))
    }

    fn known_queue(&self, name: QueueName) -> Result<ShownQueue, Problem> {
        let now = self.node().clock().now();
        self.node().reader().with(|state| {
            if !state.has_queue(&name) {
                let detail = format!("there is no queue '{name}'");
                return Err(Problem::new(ErrorKind::NotFound, detail));
            }
            Ok(shown(state, name, now))
        })
    }
}

fn shown(state: &State, name: QueueName, now: Timestamp) -> ShownQueue {
    let load = state.queue_load(&name);
    ShownQueue {
        queue: state.named_queue(&name).cloned(),
        share: load.allocated.share_of(state.fleet()),
        held: state.starts_left(&name, now).err(),
        load,
        name,
    }
}
