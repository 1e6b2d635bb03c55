//! Bounds the memory that all requests take together, whoever sends them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::task::futures::TaskLocalFuture;
use tower::{Layer, Service};

/// Size up to which a message is not counted: its call alone takes as much, and calls have a bound
/// of their own.
const COUNTED_FROM: usize = 4 << 10;

tokio::task_local! {
    static CALL: MemoryCharge;
}

/// A shared number of bytes. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    taken: AtomicUsize,
}

impl MemoryBudget {
    /// Creates a budget of which nothing is taken yet.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { shared: Arc::new(Shared { bytes_max, taken: AtomicUsize::new(0) }) }
    }

    /// Returns the size of the budget.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.shared.bytes_max
    }

    /// Returns the bytes that are taken at this moment.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::Relaxed)
    }

    /// Begins to count one request, at zero. It is counted as it arrives, because an announced
    /// length costs its sender nothing.
    #[must_use]
    pub fn open(&self) -> MemoryCharge {
        MemoryCharge { budget: self.clone(), held: Cell::new(0) }
    }
}

/// Bytes of one request, returned when it is dropped.
#[derive(Debug)]
pub struct MemoryCharge {
    budget: MemoryBudget,
    held: Cell<usize>,
}

impl MemoryCharge {
    /// Returns true if there is room for so many bytes more, and counts them.
    #[must_use]
    pub fn admits(&self, bytes: usize) -> bool {
        let Shared { bytes_max, taken } = &*self.budget.shared;
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| sum <= bytes_max);
        // No data of other threads is read through this counter, so the order does not matter.
        let counted = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if counted {
            self.held.set(self.held.get().saturating_add(bytes));
        }
        counted
    }

    /// Counts the messages that are decoded during a call, until it is answered.
    pub fn during<C: Future>(self, call: C) -> TaskLocalFuture<Self, C> {
        CALL.scope(self, call)
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.budget.shared.taken.fetch_sub(self.held.get(), Ordering::Relaxed);
    }
}

/// Returns true if the current call may decode a message of so many bytes, and counts them. A call
/// without a budget may.
#[must_use]
pub fn call_admits(bytes: usize) -> bool {
    bytes <= COUNTED_FROM || CALL.try_with(|call| call.admits(bytes)).unwrap_or(true)
}

/// Puts a budget around services, for their decoded requests.
#[derive(Clone, Debug)]
pub struct SharedMemory(pub MemoryBudget);

/// Services within a budget.
#[derive(Clone, Debug)]
pub struct WithinMemory<S> {
    services: S,
    budget: MemoryBudget,
}

impl<S> Layer<S> for SharedMemory {
    type Service = WithinMemory<S>;

    fn layer(&self, services: S) -> WithinMemory<S> {
        WithinMemory { services, budget: self.0.clone() }
    }
}

impl<S: Service<R>, R> Service<R> for WithinMemory<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = TaskLocalFuture<MemoryCharge, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.budget.open().during(self.services.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_share_a_budget_and_give_back_what_they_took() {
        let budget = MemoryBudget::new(10);
        let (first, second) = (budget.open(), budget.open());
        assert!(first.admits(4) && first.admits(2) && second.admits(4));
        assert!(!second.admits(1) && !second.admits(usize::MAX));
        assert_eq!(budget.taken(), 10);
        drop(first);
        assert_eq!(budget.taken(), 4);
        assert!(second.admits(6));
        assert!(!second.admits(1));
    }

    #[tokio::test]
    async fn messages_of_calls_share_a_budget_until_the_calls_are_answered() {
        let budget = MemoryBudget::new(3 * COUNTED_FROM);
        let message = || async { call_admits(2 * COUNTED_FROM) };
        let other = budget.open();
        assert!(other.admits(COUNTED_FROM));
        assert!(budget.open().during(message()).await);
        assert!(other.admits(1));
        assert!(!budget.open().during(message()).await);
        assert!(budget.open().during(async { call_admits(COUNTED_FROM) }).await, "it is small");
        assert!(message().await, "a call without a budget");
    }
}
