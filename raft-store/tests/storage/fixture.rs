//! A small history of a cluster, and what it takes to store it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AddressSource, AssignTasks, Assignment, AttemptNumber, AttemptOutcome, AttemptRef, BeginTerm,
    CancelTask, Class, ClusterId, Command, ConnectWorker, DataId, Epoch, FinishAttempts,
    FinishedAttempt, IdempotencyKey, Incarnation, LeaseTimes, Level, LogIndex, MasterId, Process,
    Proposal, RegisterWorker, Resources, Specs, StartAttempts, StartNumber, State, SubmitTasks,
    TaskId, TaskSpec, Term, Tick, Timestamp, WorkerId,
};
use futures_util::stream;
use openraft::EntryPayload;
use openraft::storage::RaftStateMachine;
use raft_store::{Entry, LogOptions, StateMachine, Store, StoreConfig, encode_proposal, log_id};

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);

/// A guard that is written after each sync, so that nothing can be lost unseen.
pub(crate) fn strict() -> LogOptions {
    LogOptions { guard_entries: 1, ..LogOptions::default() }
}

pub(crate) fn config(dir: &Path) -> StoreConfig {
    StoreConfig { log: strict(), ..StoreConfig::new(dir, MasterId(1)) }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(config(dir)).unwrap()
}

/// Makes an entry of a command. Each is proposed a second after the one before.
pub(crate) fn entry(term: u64, index: u64, command: Command) -> Entry {
    let proposal = Proposal { proposed_at: Timestamp(index * 1000), command };
    let payload = EntryPayload::Normal(encode_proposal(&proposal, Level::NEWEST).unwrap());
    Entry { log_id: log_id(Term(term), LogIndex(index)), payload }
}

pub(crate) fn blank(term: u64, index: u64) -> Entry {
    Entry { log_id: log_id(Term(term), LogIndex(index)), payload: EntryPayload::Blank }
}

pub(crate) fn spec() -> Arc<TaskSpec> {
    let resources = Resources { cpu_milli: 100, memory_mib: 16, ..Resources::default() };
    let class = Class {
        priority: 50,
        resources,
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    Arc::new(TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: cluster_state::TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 3,
        retry_backoff: Duration::from_secs(1),
        run_timeout: None,
        on_disconnect: cluster_state::OnDisconnect::Keep,
        labels: cluster_state::TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    })
}

pub(crate) fn submit(count: usize, key: Option<&str>) -> Command {
    let idempotency_key = key.map(|key| IdempotencyKey { key: key.into(), fingerprint: 7 });
    Command::SubmitTasks(SubmitTasks { tasks: vec![spec(); count], idempotency_key })
}

fn worker() -> WorkerId {
    "worker-1".parse().unwrap()
}

/// Returns the commands of a cluster with one worker: tasks come, run, end, are cancelled and
/// forgotten.
pub(crate) fn commands(rounds: u64) -> Vec<Command> {
    let term = Term(1);
    let total = Resources { cpu_milli: 64_000, memory_mib: 65_536, ..Resources::default() };
    let mut commands = vec![
        Command::BeginTerm(BeginTerm {
            term,
            leader: MasterId(1),
            cluster: CLUSTER,
            live_bytes_max: cluster_state::Limits::LIVE_BYTES_DEFAULT,
        }),
        Command::RegisterWorker(RegisterWorker {
            worker: worker(),
            address: Some("10.0.0.5:50052".to_owned()),
            labels: None,
        }),
        Command::ConnectWorker(ConnectWorker {
            term,
            worker: worker(),
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
        }),
    ];
    for round in 0..rounds {
        let [first, second, third] = [1, 2, 3].map(|n| TaskId(round * 3 + n));
        let attempt = |task| AttemptRef { task, attempt: AttemptNumber(1) };
        let outcome = AttemptOutcome::Exited { code: 0 };
        let attempts = vec![FinishedAttempt { attempt: attempt(first), outcome, report: None }];
        let (worker, epoch) = (worker(), Epoch(1));
        let place = |task| Assignment { task, worker: worker.clone() };
        let forget = vec![TaskId(first.0.saturating_sub(3))];
        commands.extend([
            submit(3, Some(&format!("key-{round}"))),
            Command::AssignTasks(AssignTasks {
                term,
                assignments: [first, second].map(place).to_vec(),
            }),
            Command::StartAttempts(StartAttempts {
                term,
                worker: worker.clone(),
                epoch,
                attempts: [first, second].map(attempt).to_vec(),
            }),
            Command::FinishAttempts(FinishAttempts { worker: worker.clone(), epoch, attempts }),
            Command::CancelTask(CancelTask { task: third }),
            Command::Tick(Tick { term, forget }),
        ]);
    }
    commands
}

/// The commands as a log that begins at index 1, and the state after each of its entries.
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    states: Vec<Vec<u8>>,
}

impl History {
    pub(crate) fn new(rounds: u64) -> Self {
        let mut state = State::new();
        let mut states = vec![fingerprint(&state)];
        let mut entries = vec![blank(1, 0)];
        for (index, command) in (1..).zip(commands(rounds)) {
            let proposed_at = Timestamp(index * 1000);
            let proposal = Proposal { proposed_at, command: command.clone() };
            let applied = state.apply(LogIndex(index), proposal);
            assert!(applied.reply.is_ok(), "{command:?}: {:?}", applied.reply);
            states.push(fingerprint(&state));
            entries.push(entry(1, index, command));
        }
        Self { entries, states }
    }

    pub(crate) fn last_index(&self) -> u64 {
        self.entries.last().unwrap().log_id.index
    }

    pub(crate) fn slice(&self, from: u64, to: u64) -> Vec<Entry> {
        let is_meant = |entry: &&Entry| (from..=to).contains(&entry.log_id.index);
        self.entries.iter().filter(is_meant).cloned().collect()
    }

    /// Returns the state that applying the log up to `index` must give.
    pub(crate) fn state_at(&self, index: u64) -> &[u8] {
        &self.states[usize::try_from(index).unwrap()]
    }
}

/// All live records as bytes: equal for equal states.
pub(crate) fn fingerprint(state: &State) -> Vec<u8> {
    state.records().flat_map(|record| format!("{record:?}\n").into_bytes()).collect()
}

pub(crate) async fn apply(machine: &mut StateMachine, entries: Vec<Entry>) {
    let entries = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(stream::iter(entries)).await.unwrap();
}

/// Copies a directory as it is, the guard first: it must not be newer than the log that it guards.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut entries = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    entries.sort_by_key(|entry| (entry.file_name() != "guard", entry.file_name()));
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of a tree with its contents: equal when nothing was changed.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                found.insert(format!("{}/", path.display()), Vec::new());
                waiting.push(path);
            } else {
                found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
