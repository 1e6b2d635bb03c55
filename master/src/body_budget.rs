//! The memory that requests on their way in may take together, whoever sends them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes of bodies at once. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct BodyBudget {
    bytes: Arc<Semaphore>,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))) }
    }

    /// What one body takes: nothing yet. Counted as it arrives, because an announced length costs
    /// its sender nothing.
    pub(crate) fn open(&self) -> BodyCharge {
        BodyCharge { budget: self.clone(), held: None }
    }
}

/// The bytes of one body, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct BodyCharge {
    budget: BodyBudget,
    held: Option<OwnedSemaphorePermit>,
}

impl BodyCharge {
    /// Whether there is room for so many bytes more; counts them if so.
    pub(crate) fn admits(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.budget.bytes).try_acquire_many_owned(bytes) else {
            return false;
        };
        match self.held.as_mut() {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_budget_and_give_back_what_they_took() {
        let budget = BodyBudget::new(10);
        let (mut first, mut second) = (budget.open(), budget.open());
        assert!(first.admits(4) && first.admits(2) && second.admits(4));
        assert!(!second.admits(1));
        drop(first);
        assert!(second.admits(6));
        assert!(!second.admits(1));
    }
}
