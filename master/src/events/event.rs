//! Turns the changes of one log entry into events for clients. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    Change, Key, LogIndex, MasterId, Record, SettingSource, SettingsRecord, Term, Timestamp,
    Worker, WorkerEventKind, WorkerId, WorkerState,
};
use proto::convert;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::shown;

/// Topic of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topic {
    /// Workers that come, go, or are opened and closed to tasks.
    Workers,
    /// Tasks. There are no events of tasks yet.
    Tasks,
    /// Leaders, and alarms about the cluster as a whole.
    Cluster,
    /// Usage as it is reported. Not replicated: a missed sample is lost.
    Telemetry,
}

impl Topic {
    /// All there are.
    pub(crate) const ALL: [Self; 4] = [Self::Workers, Self::Tasks, Self::Cluster, Self::Telemetry];
}

/// One replicated event; which entry brought it is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Something happened to a worker; this is how it stands now.
    WorkerStatus {
        worker_id: WorkerId,
        is_active: bool,
        /// As the registry shows it.
        state: &'static str,
        reason: Reason,
        /// Detail beside the reason's word.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
    },
    /// A term of leadership began.
    Leader {
        leader_id: MasterId,
        term: Term,
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
    },
    /// Settings of the cluster have changed, or are recorded for the first time.
    Settings {
        source: SettingsSource,
        /// Their values, by their paths.
        changed: BTreeMap<&'static str, String>,
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
    },
    /// The alarm that many workers were lost at once.
    MassLoss {
        state: Alarm,
        /// Number of lost workers, and of all workers; absent when it is over.
        #[serde(skip_serializing_if = "Option::is_none")]
        lost: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<u32>,
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
    },
}

/// Source of a change of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SettingsSource {
    /// The configuration of the master that led first.
    Master,
    Operator,
}

/// State of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Alarm {
    Raised,
    Acknowledged,
    Over,
}

/// Reason for a worker's state: one word, the same as in its record and its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Reason in its record for being active or not.
    Status(cluster_state::WorkerReason),
    /// An event that does not change the status.
    Event(&'static str),
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(reason) => to.collect_str(reason),
            Self::Event(name) => to.serialize_str(name),
        }
    }
}

fn rfc3339<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&convert::rfc3339(*time))
}

impl Event {
    /// Returns the topic that a client must have subscribed to.
    pub(crate) const fn topic(&self) -> Topic {
        match self {
            Self::WorkerStatus { .. } => Topic::Workers,
            Self::Leader { .. } | Self::MassLoss { .. } | Self::Settings { .. } => Topic::Cluster,
        }
    }

    fn of_change(index: LogIndex, change: &Change, log_time: Timestamp) -> Option<Self> {
        match change {
            Change::Put(Record::Worker(worker)) => Self::of_worker(index, worker),
            Change::Delete(Key::Worker(id)) => Some(Self::WorkerStatus {
                worker_id: id.clone(),
                is_active: false,
                state: WorkerState::Departed.name(),
                reason: Reason::Event("unregistered"),
                detail: None,
                timestamp: log_time,
            }),
            Change::Put(Record::Leader(record)) => Some(Self::Leader {
                leader_id: record.leader,
                term: record.term,
                timestamp: record.since,
            }),
            Change::Put(Record::Settings(record)) => Some(Self::of_settings(record)),
            Change::Put(Record::MassLoss(alarm)) => Some(Self::MassLoss {
                state: if alarm.brakes() { Alarm::Raised } else { Alarm::Acknowledged },
                lost: Some(alarm.lost),
                of: Some(alarm.of),
                timestamp: log_time,
            }),
            Change::Delete(Key::MassLoss) => Some(Self::MassLoss {
                state: Alarm::Over,
                lost: None,
                of: None,
                timestamp: log_time,
            }),
            Change::Put(
                Record::Meta(_)
                | Record::Task(_)
                | Record::IdempotencyKey(_)
                | Record::Departed(_)
                | Record::Token(_),
            )
            | Change::Delete(
                Key::Meta
                | Key::Leader(_)
                | Key::Task(_)
                | Key::IdempotencyKey(_)
                | Key::Departed(_)
                | Key::Token(_)
                | Key::Settings,
            ) => None,
        }
    }

    fn of_settings(record: &SettingsRecord) -> Self {
        let origins = record.last_changed().filter_map(|key| record.origins.get(&key));
        let is_operators = origins.map(|origin| origin.source).any(|source| match source {
            SettingSource::Operator => true,
            SettingSource::Default | SettingSource::Master(_) => false,
        });
        let changed = record.last_changed().map(|key| (key.path(), shown(key, &record.settings)));
        Self::Settings {
            source: if is_operators { SettingsSource::Operator } else { SettingsSource::Master },
            changed: changed.collect(),
            timestamp: record.changed_at,
        }
    }

    /// Returns the event of a worker's record; none if it was written without a new line in its
    /// history.
    fn of_worker(index: LogIndex, worker: &Arc<Worker>) -> Option<Self> {
        let latest = worker.history.last().filter(|latest| latest.index == index)?;
        let reason = match &latest.kind {
            WorkerEventKind::Registered
            | WorkerEventKind::Connected(_)
            | WorkerEventKind::Disconnected(_) => Reason::Status(worker.reason),
            WorkerEventKind::Updated(_)
            | WorkerEventKind::Replaced(_)
            | WorkerEventKind::NameContested(_)
            | WorkerEventKind::Cordoned
            | WorkerEventKind::Uncordoned
            | WorkerEventKind::DrainStarted
            | WorkerEventKind::DrainDeadlinePassed
            | WorkerEventKind::Unreachable(_)
            | WorkerEventKind::Reachable
            | WorkerEventKind::Unfit(_)
            | WorkerEventKind::Fit => Reason::Event(latest.kind.name()),
        };

        Some(Self::WorkerStatus {
            worker_id: worker.id.clone(),
            is_active: worker.is_active(),
            state: worker.state().name(),
            reason,
            detail: match &latest.kind {
                WorkerEventKind::Unreachable(detail) | WorkerEventKind::Unfit(detail) => {
                    Some(detail.clone())
                }
                WorkerEventKind::Registered
                | WorkerEventKind::Updated(_)
                | WorkerEventKind::NameContested(_)
                | WorkerEventKind::Connected(_)
                | WorkerEventKind::Replaced(_)
                | WorkerEventKind::Disconnected(_)
                | WorkerEventKind::Cordoned
                | WorkerEventKind::Uncordoned
                | WorkerEventKind::DrainStarted
                | WorkerEventKind::DrainDeadlinePassed
                | WorkerEventKind::Reachable
                | WorkerEventKind::Fit => None,
            },
            timestamp: latest.at,
        })
    }
}

/// Makes events of the changes of consecutive entries.
#[derive(Debug)]
pub(crate) struct Translator {
    /// As of the last entry: changes that carry no time of their own happened then.
    log_time: Timestamp,
}

impl Translator {
    pub(crate) const fn new(log_time: Timestamp) -> Self {
        Self { log_time }
    }

    /// Returns the events of some entries, in order, each with its entry's index.
    pub(crate) fn events(&mut self, changes: &[(LogIndex, Change)]) -> Vec<(LogIndex, Event)> {
        let mut events = Vec::new();
        for entry in changes.chunk_by(|(one, _), (next, _)| one == next) {
            // An entry says its time last, and only when it is a new one.
            let time = entry.iter().rev().find_map(|(_, change)| {
                if let Change::Put(Record::Meta(meta)) = change { Some(meta.now) } else { None }
            });
            self.log_time = time.unwrap_or(self.log_time);
            let told = entry.iter().filter_map(|(index, change)| {
                Some((*index, Event::of_change(*index, change, self.log_time)?))
            });
            events.extend(told);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use cluster_state::{
        BeginTerm, Command, EndMassLoss, Level, Proposal, RaiseLevel, RaiseMassLoss,
        RegisterWorker, SeedSettings, SetScheduling, SetSettings, Settings, State,
        UnregisterWorker,
    };
    use serde_json::json;

    use super::*;

    /// The events of one command, as JSON.
    struct Log {
        state: State,
        index: LogIndex,
        translator: Translator,
    }

    impl Log {
        fn new() -> Self {
            let translator = Translator::new(Timestamp(0));
            Self { state: State::new(), index: LogIndex(0), translator }
        }

        fn apply(&mut self, seconds: u64, command: Command) -> serde_json::Value {
            self.index = self.index.next();
            let proposal = Proposal { proposed_at: Timestamp(seconds * 1_000), command };
            let applied = self.state.apply(self.index, proposal);
            let changes = applied.changes.into_iter().map(|change| (self.index, change));
            let events = self.translator.events(&changes.collect::<Vec<_>>());
            assert!(events.iter().all(|(index, _)| *index == self.index));
            json!(events.into_iter().map(|(_, event)| event).collect::<Vec<_>>())
        }
    }

    fn register(address: &str) -> Command {
        Command::RegisterWorker(RegisterWorker {
            worker: "w1".parse().unwrap(),
            address: Some(address.to_owned()),
            labels: None,
        })
    }

    #[test]
    fn a_worker_is_told_of_whenever_its_history_grows() {
        let mut log = Log::new();
        let told = |reason: &str, seconds: u64| {
            let state = if reason == "unregistered" { "departed" } else { "inactive" };
            json!([{"type": "worker_status", "worker_id": "w1", "is_active": false, "state": state,
                    "reason": reason, "timestamp": format!("1970-01-01T00:00:0{seconds}.000Z")}])
        };
        assert_eq!(log.apply(1, register("a:1")), told("preregistered", 1));
        assert_eq!(log.apply(2, register("a:1")), json!([]));
        assert_eq!(log.apply(3, register("a:2")), told("updated", 3));
        let worker: WorkerId = "w1".parse().unwrap();
        let order = cluster_state::SchedulingOrder::Cordon;
        let cordon = Command::SetScheduling(SetScheduling { worker: worker.clone(), order });
        assert_eq!(log.apply(4, cordon), told("cordoned", 4));
        assert_eq!(
            log.apply(5, Command::UnregisterWorker(UnregisterWorker { worker })),
            told("unregistered", 5)
        );
    }

    #[test]
    fn leaders_and_alarms_are_events_of_the_cluster() {
        let mut log = Log::new();
        let term = Term(7);
        let cluster = cluster_state::ClusterId(1);
        let live_bytes_max = cluster_state::Limits::LIVE_BYTES_DEFAULT;
        let began =
            Command::BeginTerm(BeginTerm { term, leader: MasterId(2), cluster, live_bytes_max });
        let leader = json!([{"type": "leader", "leader_id": 2, "term": 7,
                             "timestamp": "1970-01-01T00:00:01.000Z"}]);
        assert_eq!(log.apply(1, began), leader);

        let raise = |lost| Command::RaiseMassLoss(RaiseMassLoss { term, lost, of: 8 });
        let alarm = |state: &str, lost: u32, seconds: u64| {
            json!([{"type": "mass_loss", "state": state, "lost": lost, "of": 8,
                    "timestamp": format!("1970-01-01T00:00:0{seconds}.000Z")}])
        };
        assert_eq!(log.apply(2, raise(5)), alarm("raised", 5, 2));
        assert_eq!(log.apply(3, raise(6)), alarm("raised", 6, 3));
        assert_eq!(log.apply(4, Command::AcknowledgeMassLoss), alarm("acknowledged", 6, 4));
        let over = json!([{"type": "mass_loss", "state": "over",
                           "timestamp": "1970-01-01T00:00:05.000Z"}]);
        assert_eq!(log.apply(5, Command::EndMassLoss(EndMassLoss { term })), over);
    }

    #[test]
    fn changes_of_settings_are_events_of_the_cluster() {
        let mut log = Log::new();
        let term = Term(0);
        log.apply(1, Command::RaiseLevel(RaiseLevel { term, level: Level(2) }));
        let mut settings = Settings::default();
        let (master, given) = (MasterId(1), BTreeSet::new());
        let seed = SeedSettings { term, settings: settings.clone(), master, given };
        let recorded = log.apply(2, Command::SeedSettings(seed));
        assert_eq!(recorded[0]["source"], "master");
        assert_eq!(recorded[0]["changed"]["worker.lease"], "5m");

        settings.worker.lease = Duration::from_secs(60);
        let set = SetSettings { settings, base: log.index };
        let expected = json!([{"type": "settings", "source": "operator",
                               "changed": {"worker.lease": "1m"},
                               "timestamp": "1970-01-01T00:00:03.000Z"}]);
        assert_eq!(log.apply(3, Command::SetSettings(set)), expected);
    }

    #[test]
    fn a_time_that_is_not_new_still_counts() {
        let mut log = Log::new();
        log.apply(5, register("a:1"));
        let worker = "w1".parse().unwrap();
        let removed = log.apply(5, Command::UnregisterWorker(UnregisterWorker { worker }));
        assert_eq!(removed[0]["timestamp"], "1970-01-01T00:00:05.000Z");
    }
}
