//! Random proposals: few workers and tasks, so that they meet, and most of them aimed at what the
//! state holds.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{
    AddressSource, AssignAhead, AssignTasks, Assignment, BeginTerm, CancelTask, ChangeHealth,
    ClusterId, Command, ConnectWorker, CreateToken, CreateUserToken, DataId, DisconnectReason,
    DisconnectWorkers, EndMassLoss, FinishAttempts, ForgetDeparted, HealthChange, HealthFinding,
    HoldAttempts, Incarnation, LabelWorker, LeaseTimes, Level, LogIndex, LossReason, MasterId,
    Meta, NoteRival, Process, Proposal, RaiseLevel, RaiseMassLoss, Record, RegisterWorker,
    RequeueAttempts, RequeueScope, Resources, RevokeToken, RevokeUserToken, Role, SchedulingOrder,
    Scope, SeedSettings, SetScheduling, SetSettings, SettingKey, Settings, Specs, StartAttempts,
    StartNumber, State, Tick, Timestamp, TokenId, UnregisterWorker,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) use aim::Past;
use aim::{Aim, aim_at, aim_at_past};
use certificates::certificates;
use jobs::jobs;
use orders::{ordered, orphans, trail};
use queues::queues;
use schedules::schedules;
use tasks::{retry, submit, submit_graph};
use values::{attempt, epoch, finished, labels, resources, task, term, worker};

#[path = "aim.rs"]
mod aim;
#[path = "certificates.rs"]
mod certificates;
#[path = "jobs.rs"]
mod jobs;
#[path = "orders.rs"]
mod orders;
#[path = "queues.rs"]
mod queues;
#[path = "schedules.rs"]
mod schedules;
#[path = "tasks.rs"]
mod tasks;
#[path = "values.rs"]
mod values;

/// A command, with the precision and the clock of its leader.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    aim: Aim,
    /// The leader's clock, from some time before log time to long after it.
    clock: i64,
    command: Command,
}

/// Draws a log, and the counters with which it begins: those of a new cluster, or of one that was
/// restored from a backup without tasks.
pub(crate) fn log() -> impl Strategy<Value = (Record, Vec<Step>)> {
    let start = any::<bool>().prop_map(|is_restored| {
        let meta = Meta::default();
        let generation = meta.generation.following(meta.next_task, 7);
        Record::Meta(if is_restored { meta.in_generation(generation) } else { meta })
    });
    (start, steps())
}

/// Draws the commands of a log.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..120)
}

/// Draws one command.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let aim = prop_oneof![1 => Just(Aim::Blind), 1 => Just(Aim::Astray), 8 => Just(Aim::True)];
    let clock = prop_oneof![
        4 => Just(0_i64),
        1 => -5_000..0_i64,
        4 => 1..3_000_i64,
        1 => Just(24 * 60 * 60 * 1000_i64),
    ];
    (aim, clock, ordered(command())).prop_map(|(aim, clock, command)| Step { aim, clock, command })
}

impl Step {
    /// Returns the proposal that the leader of this state makes, who has read the past as well.
    pub(crate) fn proposal(self, state: &State, past: &Past) -> Proposal {
        let Self { aim, clock, mut command } = self;
        aim_at_past(past, aim, &mut command);
        if aim != Aim::Blind {
            aim_at(state, aim, &mut command);
        }
        let proposed_at = Timestamp(state.meta().now.0.saturating_add_signed(clock));
        Proposal { proposed_at, command }
    }
}

fn assignments() -> impl Strategy<Value = Vec<Assignment>> {
    let placed = |(task, worker)| Assignment { task, worker };
    vec((task(), worker()).prop_map(placed), 1..5)
}

fn command() -> impl Strategy<Value = Command> {
    let assign = (term(), assignments())
        .prop_map(|(term, assignments)| Command::AssignTasks(AssignTasks { term, assignments }));
    let ahead = (term(), assignments())
        .prop_map(|(term, assignments)| Command::AssignAhead(AssignAhead { term, assignments }));
    let hold = (term(), worker(), epoch(), vec(attempt(), 1..4)).prop_map(
        |(term, worker, epoch, attempts)| {
            Command::HoldAttempts(HoldAttempts { term, worker, epoch, attempts })
        },
    );
    let start = (term(), worker(), epoch(), vec(attempt(), 1..4)).prop_map(
        |(term, worker, epoch, attempts)| {
            Command::StartAttempts(StartAttempts { term, worker, epoch, attempts })
        },
    );
    let finish =
        (worker(), epoch(), vec(finished(), 1..4)).prop_map(|(worker, epoch, attempts)| {
            Command::FinishAttempts(FinishAttempts { worker, epoch, attempts })
        });
    let cancel = task().prop_map(|task| Command::CancelTask(CancelTask { task }));
    let tick =
        (term(), vec(task(), 0..3)).prop_map(|(term, forget)| Command::Tick(Tick { term, forget }));
    let lead = (term(), 1..4_u64, 1..3_u128).prop_map(|(term, leader, cluster)| {
        Command::BeginTerm(BeginTerm {
            term,
            leader: MasterId(leader),
            cluster: ClusterId(cluster),
            live_bytes_max: cluster_state::Limits::LIVE_BYTES_DEFAULT,
        })
    });
    let raise = (term(), 1..4_u8)
        .prop_map(|(term, level)| Command::RaiseLevel(RaiseLevel { term, level: Level(level) }));
    prop_oneof![
        6 => connect(),
        6 => submit(),
        1 => submit_graph(),
        10 => assign,
        6 => start,
        3 => ahead,
        3 => hold,
        6 => finish,
        2 => cancel,
        2 => retry(),
        3 => jobs(),
        6 => tick,
        1 => lead,
        1 => raise,
        4 => register(),
        1 => worker().prop_map(|worker| Command::UnregisterWorker(UnregisterWorker { worker })),
        6 => silence(),
        3 => scheduling(),
        3 => farewell(),
        1 => rivalry(),
        1 => tokens(),
        1 => user_tokens(),
        1 => mass_loss(),
        2 => settings(),
        1 => orphans(),
        1 => trail(),
        1 => certificates(),
        4 => health(),
        4 => schedules(),
        2 => queues(),
    ]
}

fn scheduling() -> impl Strategy<Value = Command> {
    let timeout = option::of((0..3_000_u64).prop_map(Duration::from_millis));
    let order = prop_oneof![
        2 => Just(SchedulingOrder::Cordon),
        4 => Just(SchedulingOrder::Uncordon),
        2 => timeout.prop_map(|timeout| SchedulingOrder::Drain { timeout }),
    ];
    prop_oneof![
        (worker(), order)
            .prop_map(|(worker, order)| Command::SetScheduling(SetScheduling { worker, order })),
        (worker(), labels(), any::<bool>()).prop_map(|(worker, set, removes)| {
            let remove = if removes { vec!["zone".to_owned()] } else { Vec::new() };
            Command::LabelWorker(LabelWorker { worker, set, remove })
        }),
    ]
}

fn health() -> impl Strategy<Value = Command> {
    let detail = || "[ab]";
    let finding = prop_oneof![
        2 => detail().prop_map(|detail| HealthFinding::Unreachable { detail }),
        2 => Just(HealthFinding::Reachable),
        1 => detail().prop_map(|detail| HealthFinding::Unfit { detail }),
        2 => Just(HealthFinding::Fit),
    ];
    let change = (worker(), epoch(), finding).prop_map(|(worker, epoch, finding)| HealthChange {
        worker,
        epoch,
        finding,
    });
    (term(), vec(change, 1..3))
        .prop_map(|(term, changes)| Command::ChangeHealth(ChangeHealth { term, changes }))
}

fn farewell() -> impl Strategy<Value = Command> {
    (term(), vec((worker(), epoch()), 1..3))
        .prop_map(|(term, workers)| Command::ForgetDeparted(ForgetDeparted { term, workers }))
}

fn rivalry() -> impl Strategy<Value = Command> {
    (term(), worker(), option::of(address()))
        .prop_map(|(term, worker, address)| Command::NoteRival(NoteRival { term, worker, address }))
}

fn address() -> impl Strategy<Value = String> {
    "10\\.0\\.0\\.[12]:50052"
}

fn tokens() -> impl Strategy<Value = Command> {
    let ttl = option::of((0..3_000_u64).prop_map(Duration::from_millis));
    prop_oneof![
        3 => (token(), ttl).prop_map(|(token, ttl)| {
            let (digest, description) = ([7; 32], String::new());
            Command::CreateToken(CreateToken { token, digest, ttl, description })
        }),
        1 => token().prop_map(|token| Command::RevokeToken(RevokeToken { token })),
    ]
}

fn user_tokens() -> impl Strategy<Value = Command> {
    let ttl = option::of((0..3_000_u64).prop_map(Duration::from_millis));
    let scope = option::of(Just(Scope { key: "team".to_owned(), value: "blue".to_owned() }));
    let role = prop::sample::select(Role::ALL.to_vec());
    prop_oneof![
        3 => (token(), ttl, role, scope).prop_map(|(token, ttl, role, scope)| {
            Command::CreateUserToken(CreateUserToken {
                token,
                user: "ada".parse().unwrap(),
                role,
                scope,
                digest: [7; 32],
                ttl,
                description: String::new(),
                by: "anonymous".to_owned(),
            })
        }),
        1 => token().prop_map(|token| Command::RevokeUserToken(RevokeUserToken { token })),
    ]
}

fn mass_loss() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (term(), 1..9_u32, 1..9_u32)
            .prop_map(|(term, lost, of)| Command::RaiseMassLoss(RaiseMassLoss { term, lost, of })),
        1 => Just(Command::AcknowledgeMassLoss),
        1 => term().prop_map(|term| Command::EndMassLoss(EndMassLoss { term })),
    ]
}

fn settings() -> impl Strategy<Value = Command> {
    let seed = (term(), drawn_settings(), 1..4_u64, any::<bool>()).prop_map(
        |(term, settings, master, is_given)| {
            let given = is_given.then_some(SettingKey::Lease).into_iter().collect();
            Command::SeedSettings(SeedSettings { term, settings, master: MasterId(master), given })
        },
    );
    let set = (drawn_settings(), 0..9_u64).prop_map(|(settings, base)| {
        Command::SetSettings(SetSettings {
            settings,
            base: LogIndex(base),
            by: "user:ada".to_owned(),
        })
    });
    prop_oneof![seed, set]
}

/// Draws settings. A lease of no minutes is shorter than the heartbeat timeout, which is not allowed.
fn drawn_settings() -> impl Strategy<Value = Settings> {
    let intervals = prop_oneof![
        Just(BTreeMap::new()),
        Just(BTreeMap::from([("high".to_owned(), Duration::from_secs(5))])),
    ];
    (0..4_u64, 1..3_u64, intervals).prop_map(|(minutes, live_mib, intervals)| {
        let mut settings = Settings::default();
        settings.worker.lease = Duration::from_secs(60 * minutes);
        settings.limits.live_bytes = live_mib << 20;
        settings.reconnect.intervals_by_priority = intervals;
        settings.autopilot.voters = minutes;
        settings
    })
}

fn token() -> impl Strategy<Value = TokenId> {
    "[ab]".prop_map(|name| name.parse().unwrap())
}

fn register() -> impl Strategy<Value = Command> {
    (worker(), option::of(address()), option::of(labels())).prop_map(|(worker, address, labels)| {
        Command::RegisterWorker(RegisterWorker { worker, address, labels })
    })
}

fn connect() -> impl Strategy<Value = Command> {
    let specs = (resources(0..8), 1..5_u64, labels()).prop_map(|(total, slots, labels)| Specs {
        total: Resources { slots, ..total },
        labels,
        version: "1.0.0".to_owned(),
    });
    let unfit = option::weighted(0.1, "[ab]");
    let reports = (vec(attempt(), 0..4), vec(finished(), 0..3));
    let place = (option::of(address()), address_source());
    let terms = (granted(), option::weighted(0.3, token()));
    (worker(), term(), process(), place, terms, (specs, unfit), reports).prop_map(
        |(worker, term, process, place, (granted, token), (specs, unfit), (running, finished))| {
            let (address, address_source) = place;
            Command::ConnectWorker(ConnectWorker {
                term,
                worker,
                process,
                address,
                address_source,
                granted,
                token,
                specs,
                unfit,
                running,
                finished,
            })
        },
    )
}

/// Draws one of three starts in one data directory, or one in another.
fn process() -> impl Strategy<Value = Process> {
    let process = prop_oneof![4 => (Just(1), 1..4_u64), 1 => (Just(2), Just(1_u64))];
    (process, 0..3_u64).prop_map(|((data, start), sequence)| Process {
        data: DataId(data),
        start: StartNumber(start),
        incarnation: Incarnation(data * 10 + u128::from(start)),
        sequence,
    })
}

fn address_source() -> impl Strategy<Value = AddressSource> {
    prop_oneof![Just(AddressSource::Advertised), Just(AddressSource::Detected)]
}

fn granted() -> impl Strategy<Value = LeaseTimes> {
    (1..3_u64).prop_map(|minutes| LeaseTimes {
        heartbeat_interval: Duration::from_secs(5),
        heartbeat_timeout: Duration::from_secs(30),
        lease: Duration::from_secs(60 * minutes),
    })
}

fn silence() -> impl Strategy<Value = Command> {
    let disconnect =
        prop_oneof![Just(DisconnectReason::HeartbeatTimeout), Just(DisconnectReason::Shutdown),];
    let loss = prop_oneof![Just(LossReason::LeaseExpired), Just(LossReason::WorkerShutdown)];
    let silent = || (term(), vec((worker(), epoch()), 1..3));
    prop_oneof![
        (silent(), disconnect).prop_map(|((term, workers), reason)| {
            let first = workers.iter().take(1);
            let heard = first.map(|(worker, epoch)| (worker.clone(), Timestamp(epoch.0 * 1_000)));
            let last_heard = heard.collect();
            Command::DisconnectWorkers(DisconnectWorkers { term, workers, reason, last_heard })
        }),
        (silent(), loss, any::<bool>(), 0..3_u32).prop_map(
            |((term, workers), reason, is_all, attempts_max)| {
                let scope = if is_all { RequeueScope::All } else { RequeueScope::OnDisconnect };
                Command::RequeueAttempts(RequeueAttempts {
                    term,
                    workers,
                    reason,
                    scope,
                    attempts_max,
                })
            }
        ),
    ]
}
