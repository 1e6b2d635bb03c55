//! Requests of operators that are not answered yet.

use std::collections::BTreeMap;

use cluster_state::WorkerId;
use tokio::sync::oneshot;

use crate::leader::state::{Outcome, Outcomes, ReconnectError, ReconnectRequest, Target};

/// The requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    next: u64,
    open: BTreeMap<u64, Open>,
    by_worker: BTreeMap<WorkerId, Vec<u64>>,
}

#[derive(Debug)]
struct Open {
    target: Target,
    /// Number of workers whose outcome is open.
    left: usize,
    outcomes: BTreeMap<WorkerId, Outcome>,
    answer: oneshot::Sender<Outcomes>,
}

impl OpenRequests {
    /// Adds a request: `outcomes` are known already, those of `awaited` come by
    /// [`Self::on_outcome`] or [`Self::on_unregistered`].
    pub(super) fn open(
        &mut self,
        request: ReconnectRequest,
        outcomes: BTreeMap<WorkerId, Outcome>,
        awaited: &[WorkerId],
    ) {
        let id = self.next;
        self.next = id.wrapping_add(1);
        let ReconnectRequest { target, answer } = request;
        for worker in awaited {
            self.by_worker.entry(worker.clone()).or_default().push(id);
        }
        self.open.insert(id, Open { target, left: awaited.len(), outcomes, answer });
        self.answer_if_complete(id);
    }

    /// Tells whether a request waits for the outcome of a worker.
    pub(super) fn awaits(&self, worker: &WorkerId) -> bool {
        self.by_worker.contains_key(worker)
    }

    /// Takes in the outcome of a worker.
    pub(super) fn on_outcome(&mut self, worker: &WorkerId, outcome: Outcome) {
        for id in self.by_worker.remove(worker).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(&id) {
                open.outcomes.insert(worker.clone(), outcome);
                open.left = open.left.saturating_sub(1);
            }
            self.answer_if_complete(id);
        }
    }

    /// Handles a worker that was unregistered before its outcome was known.
    pub(super) fn on_unregistered(&mut self, worker: &WorkerId) {
        for id in self.by_worker.remove(worker).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(&id) {
                open.left = open.left.saturating_sub(1);
            }
            self.answer_if_complete(id);
        }
    }

    fn answer_if_complete(&mut self, id: u64) {
        if self.open.get(&id).is_none_or(|open| open.left > 0) {
            return;
        }
        let Some(Open { target, outcomes, answer, .. }) = self.open.remove(&id) else { return };
        let outcomes = match target {
            Target::One(_) if outcomes.is_empty() => Err(ReconnectError::UnknownWorker),
            Target::One(_) | Target::AllInactive => Ok(outcomes),
        };
        // Fails when the operator has hung up.
        answer.send(outcomes).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::state::ReconnectHandle;

    fn id(name: &str) -> WorkerId {
        name.parse().unwrap()
    }

    fn request(target: Target) -> (ReconnectRequest, oneshot::Receiver<Outcomes>) {
        let (answer, answered) = oneshot::channel();
        (ReconnectRequest { target, answer }, answered)
    }

    #[tokio::test]
    async fn a_request_is_interrupted_by_the_end_of_the_term() {
        let (handle, mut received) = ReconnectHandle::new();
        let monitor = async {
            let mut requests = OpenRequests::default();
            requests.open(received.recv().await.unwrap(), BTreeMap::new(), &[id("a")]);
            drop((requests, received));
        };
        let (found, ()) = tokio::join!(handle.request(Target::AllInactive), monitor);
        assert_eq!(found, Err(ReconnectError::Interrupted));
        assert_eq!(handle.request(Target::AllInactive).await, Err(ReconnectError::Interrupted));
    }

    #[test]
    fn a_request_is_answered_when_every_outcome_is_known() {
        let mut requests = OpenRequests::default();
        let (all, mut answered) = request(Target::AllInactive);
        let found = BTreeMap::from([(id("c"), Outcome::NoAddress)]);
        requests.open(all, found, &[id("a"), id("b")]);
        requests.on_outcome(&id("a"), Outcome::Reached);
        assert!(answered.try_recv().is_err());
        assert!(requests.awaits(&id("b")) && !requests.awaits(&id("a")));
        requests.on_outcome(&id("b"), Outcome::Unreachable);

        let found = answered.try_recv().unwrap().unwrap();
        let expected = [Outcome::Reached, Outcome::Unreachable, Outcome::NoAddress];
        assert_eq!(found.into_values().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_request_for_a_worker_is_answered() {
        let mut requests = OpenRequests::default();
        let asked = [Target::One(id("a")), Target::AllInactive, Target::One(id("a"))];
        let answers = asked.map(|target| {
            let (request, answered) = request(target);
            requests.open(request, BTreeMap::new(), &[id("a")]);
            answered
        });
        requests.on_outcome(&id("a"), Outcome::Refused);
        for mut answered in answers {
            assert_eq!(answered.try_recv().unwrap().unwrap()[&id("a")], Outcome::Refused);
        }
    }

    #[test]
    fn a_worker_that_is_unregistered_meanwhile_is_unknown() {
        let mut requests = OpenRequests::default();
        let (one, mut told) = request(Target::One(id("a")));
        let (all, mut told_all) = request(Target::AllInactive);
        requests.open(one, BTreeMap::new(), &[id("a")]);
        requests.open(all, BTreeMap::new(), &[id("a")]);
        requests.on_unregistered(&id("a"));
        assert_eq!(told.try_recv().unwrap(), Err(ReconnectError::UnknownWorker));
        assert_eq!(told_all.try_recv().unwrap(), Ok(BTreeMap::new()));
    }

    #[test]
    fn a_request_without_work_is_answered_at_once() {
        let mut requests = OpenRequests::default();
        let (all, mut answered) = request(Target::AllInactive);
        requests.open(all, BTreeMap::new(), &[]);
        assert_eq!(answered.try_recv().unwrap(), Ok(BTreeMap::new()));
    }
}
