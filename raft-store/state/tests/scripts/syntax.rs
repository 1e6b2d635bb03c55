//! Reads the lines of a script.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AddressSource, AssignAhead, AssignTasks, BeginTerm, CancelTask, ChangeHealth, ClusterId,
    Command, ConnectWorker, CreateToken, DataId, DisconnectReason, DisconnectWorkers, DropOrphans,
    EndMassLoss, FinishAttempts, ForgetDeparted, HealthChange, HealthFinding, HoldAttempts,
    Incarnation, LabelWorker, LeaseTimes, Level, LogIndex, LossReason, MasterId, NoteRival,
    OrphanSelection, Process, RaiseLevel, RaiseMassLoss, RegisterWorker, RequeueAttempts,
    RequeueScope, Resources, RevokeToken, RevokeUserToken, Schedule, SchedulingOrder, SeedSettings,
    SetScheduling, SetSettings, Settings, SettingsRecord, Specs, StartAttempts, StartNumber, State,
    Task, Term, Tick, Timestamp, UnregisterWorker,
};

use words::{
    assignment, attempt, duration, finished, pair, parsed, registration, setting, timestamp,
};

#[path = "certificates.rs"]
mod certificates;
#[path = "jobs.rs"]
mod jobs;
#[path = "queues.rs"]
pub(crate) mod queues;
#[path = "schedules.rs"]
pub(crate) mod schedules;
#[path = "submission.rs"]
mod submission;
#[path = "words.rs"]
mod words;

/// One line of a script.
pub(crate) enum Line {
    /// Apply a command, at a new time if the line gives one.
    Apply {
        /// Time by the leader's clock.
        at: Option<Timestamp>,
        /// The command that the leader proposes.
        command: Box<Command>,
    },
    /// Begin the next generation, as a restored cluster does.
    Restore,
    /// Show an index that the state keeps for the duties.
    Show(View),
}

/// Indexes that a script can show.
#[derive(Clone, Copy)]
pub(crate) enum View {
    /// The waiting tasks by class.
    Queue,
    /// Loads of the workers.
    Loads,
    /// Time of the next timer.
    Timer,
    /// Events of the workers.
    History,
    /// Orphaned results.
    Orphans,
}

/// Knowledge of a leader beside the state.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Records of finished tasks, as they were written; older ones of a task first.
    pub(crate) finished: Vec<Arc<Task>>,
    /// Last index of the log.
    pub(crate) index: LogIndex,
}

/// Reads a line: `[@TIME] VERB WORD… KEY=VALUE…`. The term defaults to the newest; `lead` defaults
/// to the next.
pub(crate) fn parse(line: &str, state: &State, past: &Known) -> Line {
    let mut words = line.split_whitespace().collect::<Vec<_>>();
    let at = words.first().and_then(|word| word.strip_prefix('@')).map(timestamp);
    if at.is_some() {
        words.remove(0);
    }
    let verb = words.remove(0);
    let (named, plain) = words.into_iter().partition::<Vec<_>, _>(|word| word.contains('='));
    let named = named.into_iter().map(|word| word.split_once('=').unwrap()).collect();
    let (newest, known) = (state.meta().term, state.settings().cloned());
    let schedules = state.schedules().cloned().collect();
    let mut line = Arguments { plain, named, newest, known, schedules, past };

    let view = match verb {
        "queue" => Some(View::Queue),
        "loads" => Some(View::Loads),
        "timer" => Some(View::Timer),
        "history" => Some(View::History),
        "orphans" => Some(View::Orphans),
        _ => None,
    };
    let parsed = match view {
        Some(view) => Line::Show(view),
        None if verb == "restore" => Line::Restore,
        None => Line::Apply { at, command: Box::new(line.command(verb)) },
    };
    assert!(line.plain.is_empty() && line.named.is_empty(), "left over: {line:?}");
    parsed
}

/// The words of a line that have not been read yet.
#[derive(Debug)]
struct Arguments<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
    newest: Term,
    known: Option<Arc<SettingsRecord>>,
    schedules: Vec<Arc<Schedule>>,
    past: &'a Known,
}

impl<'a> Arguments<'a> {
    fn command(&mut self, verb: &str) -> Command {
        match verb {
            "lead" => Command::BeginTerm(BeginTerm {
                leader: MasterId(parsed(self.next())),
                term: self
                    .named
                    .remove("term")
                    .map_or(self.newest.next(), |term| Term(parsed(term))),
                cluster: ClusterId(self.number("cluster", 1)),
                live_bytes_max: self
                    .number("live-bytes", cluster_state::Limits::LIVE_BYTES_DEFAULT),
            }),
            "register" => Command::RegisterWorker(RegisterWorker {
                worker: parsed(self.next()),
                address: self.text("address"),
                labels: self.named.contains_key("labels").then(|| self.labels()),
            }),
            "unregister" => {
                Command::UnregisterWorker(UnregisterWorker { worker: parsed(self.next()) })
            }
            "connect" => Command::ConnectWorker(self.connect()),
            "disconnect" => {
                let heard = self.named.remove("heard").map(timestamp);
                let reason = match self.named.remove("reason") {
                    None => DisconnectReason::HeartbeatTimeout,
                    Some("shutdown") => DisconnectReason::Shutdown,
                    Some(other) => panic!("no such reason: {other}"),
                };
                let term = self.term();
                let workers = self.rest().map(registration).collect::<Vec<_>>();
                let last_heard = workers.iter().filter_map(|(id, _)| Some((id.clone(), heard?)));
                let last_heard = last_heard.collect();
                Command::DisconnectWorkers(DisconnectWorkers { term, workers, reason, last_heard })
            }
            "submit" => self.submit(),
            "assign" => Command::AssignTasks(AssignTasks {
                term: self.term(),
                assignments: self.rest().map(assignment).collect(),
            }),
            "ahead" => Command::AssignAhead(AssignAhead {
                term: self.term(),
                assignments: self.rest().map(assignment).collect(),
            }),
            "hold" => {
                let (worker, epoch) = registration(self.next());
                let term = self.term();
                let attempts = self.rest().map(attempt).collect();
                Command::HoldAttempts(HoldAttempts { term, worker, epoch, attempts })
            }
            "start" => {
                let (worker, epoch) = registration(self.next());
                let term = self.term();
                let attempts = self.rest().map(attempt).collect();
                Command::StartAttempts(StartAttempts { term, worker, epoch, attempts })
            }
            "finish" => {
                let (worker, epoch) = registration(self.next());
                let attempts = self.rest().map(finished).collect();
                Command::FinishAttempts(FinishAttempts { worker, epoch, attempts })
            }
            "cancel" => Command::CancelTask(CancelTask { task: parsed(self.next()) }),
            "retry" => self.retry(),
            "job" => self.start_job(),
            "step" => self.advance_job(),
            "requeue" => Command::RequeueAttempts(self.requeue()),
            "tick" => {
                Command::Tick(Tick { term: self.term(), forget: self.list("forget", parsed) })
            }
            other => self.administration(other),
        }
    }

    /// Reads operators' commands, and those of the duties that serve them.
    fn administration(&mut self, verb: &str) -> Command {
        match verb {
            "cordon" => self.scheduling(SchedulingOrder::Cordon),
            "uncordon" => self.scheduling(SchedulingOrder::Uncordon),
            "drain" => {
                let timeout = self.named.remove("timeout").map(duration);
                self.scheduling(SchedulingOrder::Drain { timeout })
            }
            "label" => Command::LabelWorker(LabelWorker {
                worker: parsed(self.next()),
                set: self.labels(),
                remove: self.list("remove", str::to_owned),
            }),
            "dismissed" => Command::ForgetDeparted(ForgetDeparted {
                term: self.term(),
                workers: self.rest().map(registration).collect(),
            }),
            "rival" => Command::NoteRival(NoteRival {
                term: self.term(),
                worker: parsed(self.next()),
                address: self.text("address"),
            }),
            "token" => Command::CreateToken(CreateToken {
                token: parsed(self.next()),
                digest: [7; 32],
                ttl: self.named.remove("ttl").map(duration),
                description: String::new(),
            }),
            "user-token" => Command::CreateUserToken(self.user_token()),
            "user-revoke" => {
                Command::RevokeUserToken(RevokeUserToken { token: parsed(self.next()) })
            }
            "adopt" | "rotate" | "issue" | "revoke-certificates" | "forget" => {
                self.certificates(verb)
            }
            "revoke" => Command::RevokeToken(RevokeToken { token: parsed(self.next()) }),
            "mass-loss" => Command::RaiseMassLoss(RaiseMassLoss {
                term: self.term(),
                lost: self.number("lost", 4),
                of: self.number("of", 6),
            }),
            "acknowledge" => Command::AcknowledgeMassLoss,
            "raise" => Command::RaiseLevel(RaiseLevel {
                term: self.term(),
                level: Level(parsed(self.next())),
            }),
            "seed" => {
                let master = MasterId(parsed(self.next()));
                let given = self.list("given", setting);
                let (term, settings) = (self.term(), self.settings(Settings::default()));
                Command::SeedSettings(SeedSettings { term, settings, master, given })
            }
            "set" => self.set_settings(),
            "put-queue" | "pause-queue" | "resume-queue" | "delete-queue" => self.queues(verb),
            "schedule" | "reschedule" | "unschedule" | "pause" | "resume" | "run" | "advance" => {
                self.schedules(verb)
            }
            "drop" => Command::DropOrphans(DropOrphans { selection: self.orphans() }),
            "recovered" => Command::EndMassLoss(EndMassLoss { term: self.term() }),
            "unreachable" => self.health(|detail| HealthFinding::Unreachable { detail }),
            "reachable" => self.health(|_| HealthFinding::Reachable),
            "unfit" => self.health(|detail| HealthFinding::Unfit { detail }),
            "fit" => self.health(|_| HealthFinding::Fit),
            other => panic!("no such command: {other}"),
        }
    }

    fn set_settings(&mut self) -> Command {
        let known = self.known.take();
        let (settings, index) =
            known.map(|known| (known.settings.clone(), known.index.0)).unwrap_or_default();
        let base = LogIndex(self.number("base", index));
        let (settings, by) = (self.settings(settings), "user:ada".to_owned());
        Command::SetSettings(SetSettings { settings, base, by })
    }

    fn orphans(&mut self) -> OrphanSelection {
        match self.named.remove("up-to") {
            Some(last) => OrphanSelection::UpTo(parsed(last)),
            None => OrphanSelection::These(self.rest().map(parsed).collect()),
        }
    }

    /// Reads the settings that a line names; the others stay.
    fn settings(&mut self, mut settings: Settings) -> Settings {
        let worker = &mut settings.worker;
        for (name, field) in [
            ("interval", &mut worker.heartbeat_interval),
            ("timeout", &mut worker.heartbeat_timeout),
            ("lease", &mut worker.lease),
        ] {
            *field = self.named.remove(name).map_or(*field, duration);
        }
        settings.limits.live_bytes = self.number("live-bytes", settings.limits.live_bytes);
        settings
    }

    /// Reads a finding about one worker; its reason is a single word.
    fn health(&mut self, finding: impl Fn(String) -> HealthFinding) -> Command {
        let (worker, epoch) = registration(self.next());
        let finding = finding(self.text("reason").unwrap_or_default());
        let changes = vec![HealthChange { worker, epoch, finding }];
        Command::ChangeHealth(ChangeHealth { term: self.term(), changes })
    }

    fn scheduling(&mut self, order: SchedulingOrder) -> Command {
        Command::SetScheduling(SetScheduling { worker: parsed(self.next()), order })
    }

    fn requeue(&mut self) -> RequeueAttempts {
        let (scope, reason) = match self.named.remove("scope") {
            None => (RequeueScope::All, LossReason::LeaseExpired),
            Some("on_disconnect") => (RequeueScope::OnDisconnect, LossReason::WorkerDisconnected),
            Some(other) => panic!("no such scope: {other}"),
        };
        RequeueAttempts {
            term: self.term(),
            reason,
            scope,
            attempts_max: self.number("most", u32::MAX),
            workers: self.rest().map(registration).collect(),
        }
    }

    /// Reads a connection. Processes are starts in the first data directory, unless the line says
    /// otherwise.
    fn connect(&mut self) -> ConnectWorker {
        let incarnation = self.number("process", 1);
        ConnectWorker {
            worker: parsed(self.next()),
            term: self.term(),
            process: Process {
                data: DataId(self.number("data", 1)),
                start: StartNumber(self.number("start", incarnation)),
                incarnation: Incarnation(incarnation.into()),
                sequence: self.number("sequence", 0),
            },
            address: self.text("address"),
            address_source: match self.named.remove("source") {
                None => AddressSource::Advertised,
                Some("detected") => AddressSource::Detected,
                Some(other) => panic!("no such source: {other}"),
            },
            granted: LeaseTimes {
                heartbeat_interval: Duration::from_secs(5),
                heartbeat_timeout: Duration::from_secs(30),
                lease: self.named.remove("lease").map_or(Duration::from_secs(300), duration),
            },
            token: self.named.remove("token").map(parsed),
            unfit: self.text("unfit"),
            running: self.list("running", attempt),
            finished: self.list("finished", finished),
            specs: Specs {
                total: Resources {
                    cpu_milli: self.number("cpu", 4) * 1000,
                    slots: self.number("attempts_max", Resources::SLOTS_UNBOUNDED),
                    ..self.resources()
                },
                labels: self.labels(),
                version: String::new(),
            },
        }
    }

    fn resources(&mut self) -> Resources {
        Resources {
            cpu_milli: 0,
            memory_mib: self.number("memory", 0),
            storage_mib: self.number("storage", 0),
            gpu: self.number("gpu", 0),
            slots: 0,
            custom: self.list("custom", pair),
        }
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        self.list("labels", pair)
    }

    fn term(&mut self) -> Term {
        self.named.remove("term").map_or(self.newest, |term| Term(parsed(term)))
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.named.remove(key).map(str::to_owned)
    }

    fn number<T: FromStr>(&mut self, key: &str, default: T) -> T {
        self.named.remove(key).map_or(default, parsed)
    }

    fn list<T, C: FromIterator<T>>(&mut self, key: &str, item: impl Fn(&str) -> T) -> C {
        self.named.remove(key).into_iter().flat_map(|items| items.split(',')).map(item).collect()
    }

    fn next(&mut self) -> &'a str {
        self.plain.remove(0)
    }

    fn rest(&mut self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::mem::take(&mut self.plain).into_iter()
    }
}
