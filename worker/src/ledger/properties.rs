//! Properties that hold after any sequence of events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{OnDisconnect, Resources};
use proptest::prelude::*;

use super::tests::bounds;
use super::*;

#[derive(Debug, Clone, Copy)]
enum Event {
    Register,
    RegisterUnwanted(u64),
    RegistrationFails,
    Assign(u64, Begin),
    Wait,
    Ends(u64),
    Stores,
    Report,
    Confirm(u64),
    Cancel(u64),
    Lapse,
    Disconnect,
    Dismiss,
    Reap,
}

/// Simulated surroundings of the ledger: processes, and outcomes on the way to disk.
struct World {
    ledger: Ledger,
    now: Instant,
    starts: BTreeMap<AttemptRef, u32>,
    waiting: BTreeSet<AttemptRef>,
    processes: BTreeSet<AttemptRef>,
    /// Attempts that the leader did not want once: they never become current again.
    unwanted: BTreeSet<AttemptRef>,
    /// Attempts that were killed and are not gone yet.
    dying: BTreeSet<AttemptRef>,
    ended: Vec<FinishedAttempt>,
    on_disk: BTreeSet<AttemptRef>,
    confirmed: BTreeSet<AttemptRef>,
}

impl World {
    fn new() -> Self {
        Self {
            ledger: Ledger::restore(bounds(), []),
            now: Instant::now(),
            starts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            processes: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            dying: BTreeSet::new(),
            ended: Vec::new(),
            on_disk: BTreeSet::new(),
            confirmed: BTreeSet::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Register => self.register(&[]),
            Event::RegisterUnwanted(task) => self.register(&[attempt_ref(task, 1)]),
            Event::RegistrationFails => {
                self.ledger.on_registering();
                self.ledger.on_session_ended();
            }
            Event::Assign(task, begin) => self.assign(attempt_ref(task, 1), begin),
            Event::Wait => {
                self.now += Duration::from_millis(300);
                let effects = self.ledger.give_back(self.now);
                self.perform(effects);
            }
            Event::Ends(task) => self.end(attempt_ref(task, 1)),
            Event::Stores => {
                let ended = std::mem::take(&mut self.ended);
                self.on_disk.extend(ended.iter().map(|ended| ended.attempt));
                self.ledger.on_stored(ended);
            }
            Event::Report => {
                for result in self.ledger.next_report(130) {
                    if is_lost(&result.outcome) {
                        let is_gone = !self.processes.contains(&result.attempt)
                            && !self.dying.contains(&result.attempt);
                        assert!(is_gone, "lost while it runs");
                    } else {
                        assert!(self.on_disk.contains(&result.attempt), "reported before stored");
                    }
                    assert!(!self.confirmed.contains(&result.attempt), "reported once too often");
                }
            }
            Event::Confirm(task) => {
                let attempt = attempt_ref(task, 1);
                if self.ledger.unconfirmed.contains(attempt) {
                    self.confirmed.insert(attempt);
                }
                let effects = self.ledger.on_confirmed(&[attempt]);
                self.perform(effects);
            }
            Event::Cancel(task) => {
                let attempt = attempt_ref(task, 1);
                if self.ledger.on_cancelled(attempt) == Cancelled::Drop {
                    assert!(self.waiting.remove(&attempt), "it did not wait");
                }
            }
            Event::Lapse => {
                let effects = self.ledger.on_lapsed();
                self.perform(effects);
                assert_eq!(self.processes, BTreeSet::new(), "something runs without a lease");
            }
            Event::Disconnect => {
                let effects = self.ledger.on_disconnected();
                self.perform(effects);
                let has_impatient = self.processes.iter().any(|attempt| attempt.task.0 == 1);
                assert!(!has_impatient, "it runs on without a leader");
            }
            Event::Dismiss => {
                let effects = self.ledger.on_dismissed();
                self.perform(effects);
            }
            Event::Reap => {
                for attempt in std::mem::take(&mut self.dying) {
                    let outcome = AttemptOutcome::Signaled { signal: 9 };
                    let killed = FinishedAttempt { attempt, outcome, report: None };
                    assert!(!self.ledger.on_ended(&killed), "the kill counts as a failure");
                }
                self.begin_next();
            }
        }
    }

    fn register(&mut self, unwanted: &[AttemptRef]) {
        let snapshot = self.ledger.on_registering();
        let told = snapshot.running.iter().copied().collect::<BTreeSet<_>>();
        let has_all = told.is_superset(&self.processes) && told.is_superset(&self.waiting);
        assert!(has_all, "the leader would run these elsewhere");
        let session = Session { epoch: Epoch(1), leader: MasterId(1), term: Term(1) };
        let effects = self.ledger.on_registered(session, unwanted, &[]).unwrap();
        self.perform(effects);
        self.unwanted.extend(unwanted);
    }

    fn assign(&mut self, attempt: AttemptRef, begin: Begin) {
        if self.ledger.may_assign(Epoch(1)).is_err() || self.unwanted.contains(&attempt) {
            return;
        }
        let on_disconnect = match attempt.task.0 {
            1 => OnDisconnect::Requeue,
            _ => OnDisconnect::Keep,
        };
        let room = Some(Resources { cpu_milli: 1_000, ..Resources::default() });
        // The leader places no more at once than there is room for.
        if begin == Begin::AtOnce
            && self.processes.len() + self.dying.len() + self.waiting.len() >= 2
        {
            return;
        }
        match self.ledger.on_assigned(attempt, Order { on_disconnect, room, begin }, self.now) {
            Assigned::Start => {
                *self.starts.entry(attempt).or_default() += 1;
                self.processes.insert(attempt);
            }
            Assigned::Wait => {
                assert!(begin == Begin::Ahead && self.waiting.insert(attempt));
            }
            Assigned::Known | Assigned::Lost | Assigned::NoRoom => {}
        }
    }

    fn end(&mut self, attempt: AttemptRef) {
        let outcome = AttemptOutcome::Exited { code: 0 };
        let ended = FinishedAttempt { attempt, outcome, report: None };
        if self.processes.remove(&attempt) && self.ledger.on_ended(&ended) {
            self.ended.push(ended);
        }
        self.begin_next();
    }

    fn begin_next(&mut self) {
        for attempt in self.ledger.next_starts(self.now) {
            assert!(self.waiting.remove(&attempt), "it did not wait");
            *self.starts.entry(attempt).or_default() += 1;
            self.processes.insert(attempt);
        }
        let running = self.processes.len() + self.dying.len();
        assert!(running <= 2, "more runs than there is room for: {running}");
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Stop(_) => {}
                Effect::Drop(attempt) => assert!(self.waiting.remove(&attempt), "it did not wait"),
                Effect::Kill(attempt) => {
                    if self.processes.remove(&attempt) {
                        self.dying.insert(attempt);
                    }
                }
                Effect::Forget(attempt) => {
                    assert!(self.on_disk.remove(&attempt), "forgot what was not stored");
                }
            }
        }
    }
}

fn is_lost(outcome: &AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Lost(_))
}

fn event() -> impl Strategy<Value = Event> {
    let task = || 1_u64..=5;
    prop_oneof![
        3 => Just(Event::Register),
        1 => task().prop_map(Event::RegisterUnwanted),
        1 => Just(Event::RegistrationFails),
        4 => task().prop_map(|task| Event::Assign(task, Begin::AtOnce)),
        6 => task().prop_map(|task| Event::Assign(task, Begin::Ahead)),
        2 => Just(Event::Wait),
        4 => task().prop_map(Event::Ends),
        3 => Just(Event::Stores),
        3 => Just(Event::Report),
        3 => task().prop_map(Event::Confirm),
        1 => task().prop_map(Event::Cancel),
        1 => Just(Event::Lapse),
        1 => Just(Event::Disconnect),
        1 => Just(Event::Dismiss),
        3 => Just(Event::Reap),
    ]
}

proptest! {
    #[test]
    fn an_attempt_runs_once_and_what_is_on_disk_is_what_is_owed(
        events in proptest::collection::vec(event(), 0..60)
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.happen(Event::Stores);

        prop_assert!(world.starts.values().all(|starts| *starts == 1));
        let owed = world.ledger.on_registering().finished.into_iter();
        let owed = owed.filter(|result| !is_lost(&result.outcome));
        let owed = owed.map(|result| result.attempt).collect::<BTreeSet<_>>();
        prop_assert_eq!(owed, world.on_disk);
    }
}
