//! Immediate checks that operators ask for, and what they are told in the end.

use std::collections::BTreeMap;

use cluster_state::WorkerId;
use tokio::sync::{mpsc, oneshot};

/// Demands that may wait for the monitor to take them up. It does so in microseconds.
const DEMANDS_WAITING_MAX: usize = 64;

/// Whom an operator wants to be gone to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whom {
    /// One worker.
    One(WorkerId),
    /// Every worker that is inactive.
    AllInactive,
}

/// What came of going to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It knows its leader now, and has registered where it had not.
    Reached,
    /// It answered, but has not registered.
    NotRegistered,
    /// Nobody answers there.
    Unreachable,
    /// Somebody answers there, but does not follow.
    Refused,
    /// It is connected: there is nothing to do.
    Active,
    /// Nobody knows where it is.
    NoAddress,
}

impl Finding {
    /// The word for it in the API.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotRegistered => "not-registered",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Active => "active",
            Self::NoAddress => "no-address",
        }
    }
}

/// Why a demand was not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DemandError {
    /// There is no such worker, or no longer.
    #[error("the worker is not registered")]
    UnknownWorker,
    /// The term of leadership ended first.
    #[error("leadership was lost before all attempts had ended")]
    Interrupted,
}

/// What the workers were found to be, by name.
pub(crate) type Findings = Result<BTreeMap<WorkerId, Finding>, DemandError>;

/// One demand on its way to the monitor.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Whom to go to.
    pub(crate) whom: Whom,
    /// Told when every attempt has ended.
    pub(crate) answer: oneshot::Sender<Findings>,
}

/// Where demands are made.
#[derive(Debug, Clone)]
pub(crate) struct ReconnectHandle(mpsc::Sender<Demand>);

impl ReconnectHandle {
    /// A handle, and what the monitor takes demands from.
    #[must_use]
    pub(crate) fn new() -> (Self, mpsc::Receiver<Demand>) {
        let (sender, receiver) = mpsc::channel(DEMANDS_WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Has workers gone to at once, and says what was found when all attempts have ended.
    pub(crate) async fn demand(&self, whom: Whom) -> Findings {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Demand { whom, answer }).await;
        sent.map_err(|_| DemandError::Interrupted)?;
        answered.await.unwrap_or(Err(DemandError::Interrupted))
    }
}

/// The demands that are not met yet.
#[derive(Debug, Default)]
pub(super) struct OpenDemands {
    next: u64,
    open: BTreeMap<u64, Open>,
    by_worker: BTreeMap<WorkerId, Vec<u64>>,
}

#[derive(Debug)]
struct Open {
    whom: Whom,
    left: usize,
    found: BTreeMap<WorkerId, Finding>,
    answer: oneshot::Sender<Findings>,
}

impl OpenDemands {
    /// Takes up a demand: `found` is known already, `awaited` will be told by [`Self::on_found`] or
    /// [`Self::on_gone`].
    pub(super) fn open(
        &mut self,
        demand: Demand,
        found: BTreeMap<WorkerId, Finding>,
        awaited: &[WorkerId],
    ) {
        let id = self.next;
        self.next = id.wrapping_add(1);
        let Demand { whom, answer } = demand;
        for worker in awaited {
            self.by_worker.entry(worker.clone()).or_default().push(id);
        }
        self.open.insert(id, Open { whom, left: awaited.len(), found, answer });
        self.answer_if_met(id);
    }

    /// Whether somebody waits for what is found at a worker.
    pub(super) fn awaits(&self, worker: &WorkerId) -> bool {
        self.by_worker.contains_key(worker)
    }

    /// An attempt at a worker has ended.
    pub(super) fn on_found(&mut self, worker: &WorkerId, finding: Finding) {
        for id in self.by_worker.remove(worker).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(&id) {
                open.found.insert(worker.clone(), finding);
                open.left = open.left.saturating_sub(1);
            }
            self.answer_if_met(id);
        }
    }

    /// A worker was unregistered before the attempt at it had ended.
    pub(super) fn on_gone(&mut self, worker: &WorkerId) {
        for id in self.by_worker.remove(worker).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(&id) {
                open.left = open.left.saturating_sub(1);
            }
            self.answer_if_met(id);
        }
    }

    fn answer_if_met(&mut self, id: u64) {
        if self.open.get(&id).is_none_or(|open| open.left > 0) {
            return;
        }
        let Some(Open { whom, found, answer, .. }) = self.open.remove(&id) else { return };
        let findings = match whom {
            Whom::One(_) if found.is_empty() => Err(DemandError::UnknownWorker),
            Whom::One(_) | Whom::AllInactive => Ok(found),
        };
        // Whoever asked may have gone; the attempts were made all the same.
        answer.send(findings).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> WorkerId {
        name.parse().unwrap()
    }

    fn demand(whom: Whom) -> (Demand, oneshot::Receiver<Findings>) {
        let (answer, answered) = oneshot::channel();
        (Demand { whom, answer }, answered)
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_term_ends() {
        let (handle, mut demanded) = ReconnectHandle::new();
        let lead = async {
            let mut demands = OpenDemands::default();
            demands.open(demanded.recv().await.unwrap(), BTreeMap::new(), &[id("a")]);
            drop((demands, demanded));
        };
        let (found, ()) = tokio::join!(handle.demand(Whom::AllInactive), lead);
        assert_eq!(found, Err(DemandError::Interrupted));
        assert_eq!(handle.demand(Whom::AllInactive).await, Err(DemandError::Interrupted));
    }

    #[test]
    fn a_demand_is_answered_when_every_attempt_has_ended() {
        let mut demands = OpenDemands::default();
        let (all, mut answered) = demand(Whom::AllInactive);
        let found = BTreeMap::from([(id("c"), Finding::NoAddress)]);
        demands.open(all, found, &[id("a"), id("b")]);
        demands.on_found(&id("a"), Finding::Reached);
        assert!(answered.try_recv().is_err());
        assert!(demands.awaits(&id("b")) && !demands.awaits(&id("a")));
        demands.on_found(&id("b"), Finding::Unreachable);

        let found = answered.try_recv().unwrap().unwrap();
        let expected = [Finding::Reached, Finding::Unreachable, Finding::NoAddress];
        assert_eq!(found.into_values().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn everybody_who_asked_is_told() {
        let mut demands = OpenDemands::default();
        let asked = [Whom::One(id("a")), Whom::AllInactive, Whom::One(id("a"))];
        let answers = asked.map(|whom| {
            let (demand, answered) = demand(whom);
            demands.open(demand, BTreeMap::new(), &[id("a")]);
            answered
        });
        demands.on_found(&id("a"), Finding::Refused);
        for mut answered in answers {
            assert_eq!(answered.try_recv().unwrap().unwrap()[&id("a")], Finding::Refused);
        }
    }

    #[test]
    fn a_worker_that_is_unregistered_meanwhile_is_told_of_as_unknown() {
        let mut demands = OpenDemands::default();
        let (one, mut told) = demand(Whom::One(id("a")));
        let (all, mut told_all) = demand(Whom::AllInactive);
        demands.open(one, BTreeMap::new(), &[id("a")]);
        demands.open(all, BTreeMap::new(), &[id("a")]);
        demands.on_gone(&id("a"));
        assert_eq!(told.try_recv().unwrap(), Err(DemandError::UnknownWorker));
        assert_eq!(told_all.try_recv().unwrap(), Ok(BTreeMap::new()));
    }

    #[test]
    fn a_demand_that_finds_nothing_to_do_is_answered_at_once() {
        let mut demands = OpenDemands::default();
        let (all, mut answered) = demand(Whom::AllInactive);
        demands.open(all, BTreeMap::new(), &[]);
        assert_eq!(answered.try_recv().unwrap(), Ok(BTreeMap::new()));
    }
}
