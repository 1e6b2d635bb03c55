//! The beginning and the end of a mass loss, and the pace of the brake.

use std::collections::BTreeMap;

use cluster_state::{
    AddressSource, AssignTasks, Assignment, Class, Command, ConnectWorker, DataId,
    DisconnectWorkers, Incarnation, LeaseTimes, LogIndex, LossReason, OnDisconnect, Process,
    Proposal, RegisterWorker, RequeueAttempts, RequeueScope, Resources, Specs, StartNumber,
    SubmitTasks, TaskId, TaskSpec, Term, TextMap, UnregisterWorker,
};

use super::*;

const TERM: Term = Term(1);
const TIMES: LeaseTimes = LeaseTimes {
    heartbeat_interval: Duration::from_secs(5),
    heartbeat_timeout: Duration::from_secs(30),
    lease: Duration::from_secs(300),
};

/// A registry that is told what happens to it.
#[derive(Default)]
struct Fleet {
    state: State,
    index: LogIndex,
}

impl Fleet {
    /// So many workers that are active from the beginning.
    fn of(count: usize) -> Self {
        let mut fleet = Self::default();
        for number in 1..=count {
            let worker = id(number);
            let register = RegisterWorker { worker, address: None, labels: None };
            fleet.apply(0, Command::RegisterWorker(register));
            fleet.connect(0, number);
        }
        fleet
    }

    fn apply(&mut self, at: u64, command: Command) {
        self.index = self.index.next();
        let proposed_at = Timestamp(at * 1_000);
        self.state.apply(self.index, Proposal { proposed_at, command }).reply.unwrap();
    }

    fn connect(&mut self, at: u64, number: usize) {
        let total = Resources { cpu_milli: 8_000, ..Resources::default() };
        let connect = ConnectWorker {
            term: TERM,
            worker: id(number),
            process: Process {
                data: DataId(1),
                start: StartNumber(1),
                incarnation: Incarnation(1),
                sequence: 0,
            },
            address: None,
            address_source: AddressSource::Detected,
            granted: LeaseTimes {
                heartbeat_interval: Duration::from_secs(5),
                heartbeat_timeout: Duration::from_secs(30),
                lease: Duration::from_secs(300),
            },
            token: None,
            specs: Specs { total, ..Specs::default() },
            unfit: None,
            running: Vec::new(),
            finished: Vec::new(),
        };
        self.apply(at, Command::ConnectWorker(connect));
    }

    fn lose(&mut self, at: u64, numbers: impl IntoIterator<Item = usize>) {
        let command = Command::DisconnectWorkers(DisconnectWorkers {
            term: TERM,
            workers: silent(numbers),
            reason: DisconnectReason::HeartbeatTimeout,
            last_heard: BTreeMap::new(),
        });
        self.apply(at, command);
    }

    /// A task on that worker.
    fn occupy(&mut self, number: usize) {
        let class = Class {
            priority: 50,
            resources: Resources { cpu_milli: 1, ..Resources::default() },
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        };
        let spec = TaskSpec {
            name: None,
            command: vec!["true".to_owned()],
            env: TextMap::default(),
            working_dir: None,
            stdin: None,
            class: class.into(),
            max_attempts: 1,
            retry_backoff: Duration::ZERO,
            run_timeout: None,
            on_disconnect: OnDisconnect::Keep,
            labels: TextMap::default(),
            secret_env: cluster_state::SecretMap::default(),
            timing: None,
        };
        let tasks = SubmitTasks { tasks: vec![spec.into()], idempotency_key: None };
        self.apply(0, Command::SubmitTasks(tasks));
        let task = TaskId(self.state.meta().next_task.0 - 1);
        let assignments = vec![Assignment { task, worker: id(number) }];
        self.apply(0, Command::AssignTasks(AssignTasks { term: TERM, assignments }));
    }

    fn is_over(&self, alarm: &MassLoss, at: u64) -> bool {
        is_over(alarm, &self.state, TIMES, Timestamp(at * 1_000))
    }
}

fn id(number: usize) -> WorkerId {
    format!("w{number}").parse().unwrap()
}

fn silent(numbers: impl IntoIterator<Item = usize>) -> Vec<(WorkerId, Epoch)> {
    numbers.into_iter().map(|number| (id(number), Epoch(1))).collect()
}

fn alarm(since: u64, lost: u32, of: u32) -> MassLoss {
    MassLoss {
        since: Timestamp(since * 1_000),
        lost,
        of,
        acknowledged_at: None,
        index: LogIndex(1),
    }
}

#[test]
fn more_than_half_and_more_than_three_are_a_mass_loss() {
    let is_mass_loss = |lost, of| Extent { lost, of }.is_mass_loss();
    assert!(!is_mass_loss(3, 3));
    assert!(is_mass_loss(4, 4));
    assert!(is_mass_loss(4, 7));
    assert!(!is_mass_loss(4, 8));
    assert!(is_mass_loss(5, 8));
}

#[test]
fn losses_within_the_window_add_up() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut fleet = Fleet::of(9);
    let mut losses = RecentLosses::new(TIMES.heartbeat_timeout);

    let first = losses.on_silent(&silent(1..=3), &fleet.state, start);
    assert_eq!(first, Extent { lost: 3, of: 9 });
    // Noted again because the proposal failed.
    assert_eq!(losses.on_silent(&silent(1..=3), &fleet.state, after(1)), first);
    fleet.lose(1, 1..=3);
    let second = losses.on_silent(&silent(4..=5), &fleet.state, after(20));
    assert_eq!(second, Extent { lost: 5, of: 9 });
    assert!(second.is_mass_loss());
    fleet.lose(20, 4..=5);

    // The first three are out of the window by now.
    let third = losses.on_silent(&silent(6..=6), &fleet.state, after(31));
    assert_eq!(third, Extent { lost: 3, of: 6 });
}

#[test]
fn who_came_back_was_not_lost() {
    let start = Instant::now();
    let mut fleet = Fleet::of(6);
    let mut losses = RecentLosses::new(TIMES.heartbeat_timeout);
    losses.on_silent(&silent(1..=3), &fleet.state, start);
    fleet.lose(1, 1..=3);
    fleet.connect(2, 1);

    let extent = losses.on_silent(&silent(4..=4), &fleet.state, start + Duration::from_secs(5));

    assert_eq!(extent, Extent { lost: 3, of: 6 });
}

#[test]
fn the_alarm_is_over_when_half_of_the_lost_are_back() {
    let mut fleet = Fleet::of(10);
    let raised = alarm(40, 6, 10);
    fleet.lose(40, 1..=6);
    assert!(!fleet.is_over(&raised, 41));
    fleet.connect(42, 1);
    fleet.connect(42, 2);
    assert!(!fleet.is_over(&raised, 43));
    fleet.apply(44, Command::UnregisterWorker(UnregisterWorker { worker: id(3) }));
    assert!(fleet.is_over(&raised, 44), "one that was taken off is not away");
}

#[test]
fn the_alarm_is_over_when_a_lease_has_passed_and_nothing_is_left() {
    let mut fleet = Fleet::of(6);
    fleet.occupy(1);
    let raised = alarm(40, 4, 6);
    fleet.lose(40, 1..=4);
    assert!(!fleet.is_over(&raised, 400), "a task is still to be queued again");

    let requeue = Command::RequeueAttempts(RequeueAttempts {
        term: TERM,
        workers: silent(1..=1),
        reason: LossReason::LeaseExpired,
        scope: RequeueScope::All,
        attempts_max: 10,
    });
    fleet.apply(100, requeue);
    assert!(!fleet.is_over(&raised, 369));
    assert!(fleet.is_over(&raised, 370));
}

#[test]
fn who_was_silent_long_before_is_not_part_of_it() {
    let mut fleet = Fleet::of(20);
    fleet.lose(100, 1..=12);
    fleet.lose(200, 13..=17);
    let raised = alarm(200, 5, 8);
    assert!(!fleet.is_over(&raised, 201));
    for number in 13..=15 {
        fleet.connect(202, number);
    }
    assert!(fleet.is_over(&raised, 203));
}

#[test]
fn the_brake_lets_so_many_through_in_each_second() {
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let mut brake = Brake::new(10);
    assert_eq!(brake.allowance(start), 10);
    brake.on_passed(4, start);
    assert_eq!((brake.allowance(start), brake.opens_at(start)), (6, start));
    brake.on_passed(6, after(500));
    assert_eq!((brake.allowance(after(999)), brake.opens_at(after(999))), (0, after(1_000)));
    assert_eq!((brake.allowance(after(1_000)), brake.opens_at(after(1_000))), (10, after(1_000)));
    brake.on_passed(1, after(1_200));
    assert_eq!(brake.allowance(after(2_100)), 9);
}
