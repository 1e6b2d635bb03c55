//! A leader takes over workers that were granted other times than its own.

use cluster_state::{
    AddressSource, BeginTerm, ClusterId, ConnectWorker, DataId, Incarnation, LeaseTimes, Limits,
    MasterId, Process, Proposal, RegisterWorker, Resources, Specs, StartNumber, Term, Tick,
};

use super::*;
use crate::config::Config;

const SHORT: LeaseTimes = LeaseTimes {
    heartbeat_interval: Duration::from_secs(1),
    heartbeat_timeout: Duration::from_secs(10),
    lease: Duration::from_secs(60),
};
const LONG: LeaseTimes = LeaseTimes {
    heartbeat_interval: Duration::from_secs(5),
    heartbeat_timeout: Duration::from_secs(30),
    lease: Duration::from_secs(300),
};

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

/// The state that all masters have.
#[derive(Default)]
struct World {
    state: State,
    index: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        world.begin_term(1);
        let (address, labels) = (None, None);
        let register = RegisterWorker { worker: worker(), address, labels };
        world.apply(1, Command::RegisterWorker(register));
        world
    }

    fn apply(&mut self, second: u64, command: Command) {
        self.index += 1;
        let proposal = Proposal { proposed_at: Timestamp(second * 1_000), command };
        self.state.apply(LogIndex(self.index), proposal).reply.unwrap();
    }

    fn begin_term(&mut self, term: u64) {
        self.apply(
            1,
            Command::BeginTerm(BeginTerm {
                term: Term(term),
                leader: MasterId(term),
                cluster: ClusterId(1),
                live_bytes_max: Limits::LIVE_BYTES_DEFAULT,
            }),
        );
    }

    /// The worker registers with the leader of a term, who grants what its own file says.
    fn connect(&mut self, second: u64, term: u64, granted: LeaseTimes) {
        let process = Process {
            data: DataId(1),
            start: StartNumber(1),
            incarnation: Incarnation(1),
            sequence: second,
        };
        let total = Resources { cpu_milli: 8_000, ..Resources::default() };
        self.apply(
            second,
            Command::ConnectWorker(ConnectWorker {
                term: Term(term),
                worker: worker(),
                process,
                address: None,
                address_source: AddressSource::Detected,
                granted,
                token: None,
                specs: Specs { total, ..Specs::default() },
                unfit: None,
                running: Vec::new(),
                finished: Vec::new(),
            }),
        );
    }

    /// When a leader that takes over with times of its own declares the worker silent, and when it
    /// gives its attempts to others: those that do not wait, and the rest. Seconds after it begins.
    fn deadlines(&self, own: LeaseTimes) -> [u64; 3] {
        let began_at = Instant::now();
        let mut leases = LeaseTable::default();
        follow(&mut leases, &self.state, LogIndex(0), &by(own), (began_at, self.state.meta().now));
        let epoch = self.state.worker(&worker()).unwrap().epoch;
        let mut next = |settle: fn(&mut LeaseTable, &WorkerId, Epoch)| {
            let next = leases.next_deadline_after(began_at).unwrap();
            settle(&mut leases, &worker(), epoch);
            next.saturating_duration_since(began_at).as_secs()
        };
        [
            next(LeaseTable::on_declared_silent),
            next(LeaseTable::on_eager_requeued),
            next(LeaseTable::on_expired),
        ]
    }
}

/// Returns the settings of a leader with these times, in a cluster that has none.
fn by(own: LeaseTimes) -> SettingsInForce {
    let LeaseTimes { heartbeat_interval, heartbeat_timeout, lease } = own;
    let worker = WorkerSettings {
        heartbeat_interval,
        heartbeat_timeout,
        lease,
        ..WorkerSettings::default()
    };
    SettingsInForce::new(&Config { worker, ..Config::default() })
}

#[test]
fn a_new_leader_waits_for_what_was_granted_and_not_for_its_own_times() {
    for (granted, expected) in [(LONG, [30, 33, 330]), (SHORT, [10, 11, 66])] {
        let mut world = World::new();
        world.connect(10, 1, granted);
        world.begin_term(2);
        for own in [SHORT, LONG] {
            assert_eq!(world.deadlines(own), expected, "granted {granted:?}");
        }
    }
}

#[test]
fn a_leader_with_shorter_times_waits_until_the_longer_grant_is_over() {
    let mut world = World::new();
    world.connect(10, 1, LONG);
    world.begin_term(2);
    world.connect(20, 2, SHORT);

    // The process may not have heard of it, and go by the longer grant.
    world.begin_term(3);
    assert_eq!(world.deadlines(SHORT), [10, 330, 330]);
    // Until that is over for certain.
    world.apply(400, Command::Tick(Tick { term: Term(3), forget: Vec::new() }));
    assert_eq!(world.deadlines(SHORT), [10, 11, 66]);
}
