//! Turns the changes of one log entry into events for clients. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    Change, Key, LogIndex, MasterId, Orphan, OrphanId, Record, SettingSource, SettingsRecord,
    State, TaskId, Term, Timestamp, Worker, WorkerEventKind, WorkerId, WorkerState,
};
use proto::convert;
use raft_store::{MemberEvent, MemberNews, NodeId, VoteGiver};
use serde::{Deserialize, Serialize, Serializer};

use super::job_status::JobStatus;
use super::schedule_status::{KnownSchedules, ScheduleStatus};
use super::task_news::TaskNews;
use crate::config::shown;

/// Topic of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topic {
    /// Workers that come, go, or are opened and closed to tasks.
    Workers,
    /// Tasks that have another state or another attempt.
    Tasks,
    /// Schedules that are changed, and their runs.
    Schedules,
    /// Orders about many tasks, and how far they come.
    Jobs,
    /// Leaders, and alarms about the cluster as a whole.
    Cluster,
    /// Usage as it is reported. Not replicated: a missed sample is lost.
    Telemetry,
}

impl Topic {
    /// All there are.
    pub(crate) const ALL: [Self; 6] =
        [Self::Workers, Self::Tasks, Self::Schedules, Self::Jobs, Self::Cluster, Self::Telemetry];
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
    /// A schedule was changed, or a run of it was decided about.
    ScheduleStatus(ScheduleStatus),
    /// An order about many tasks was given, or has come further.
    JobStatus(JobStatus),
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
        /// Principal that has changed them; absent if a leader did.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
    },
    /// A master has become a member, has got a vote, or is no member any more.
    Member {
        #[serde(serialize_with = "text")]
        name: MasterId,
        /// Its log.
        #[serde(serialize_with = "text")]
        id: NodeId,
        event: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        replaced_by: Option<String>,
        /// Author of the change; absent if the member has asked for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<VoteGiver>,
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
    },
    /// A worker has reported the end of an attempt that the restored state did not know.
    OrphanedResult {
        #[serde(serialize_with = "text")]
        orphan_id: OrphanId,
        worker_id: WorkerId,
        #[serde(serialize_with = "text")]
        task_id: TaskId,
        attempt: u32,
        /// End of the attempt, in words.
        outcome: String,
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

fn text<S: Serializer>(value: &impl std::fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn rfc3339<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&convert::rfc3339(*time))
}

impl Event {
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
            Change::Put(Record::Job(job)) => Some(Self::JobStatus(JobStatus::of(job, log_time))),
            Change::Put(Record::Settings(record)) => Some(Self::of_settings(record)),
            Change::Put(Record::Orphan(orphan)) => Some(Self::of_orphan(orphan)),
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
                | Record::Schedule(_)
                | Record::Queue(_)
                | Record::UserToken(_)
                | Record::Audit(_)
                | Record::Issuer(_)
                | Record::Holder(_)
                | Record::Cascade(_)
                | Record::Token(_),
            )
            | Change::Delete(
                Key::Meta
                | Key::Leader(_)
                | Key::Task(_)
                | Key::IdempotencyKey(_)
                | Key::Departed(_)
                | Key::Schedule(_)
                | Key::Queue(_)
                | Key::UserToken(_)
                | Key::Audit(_)
                | Key::Issuer
                | Key::Holder(_)
                | Key::Job(_)
                | Key::Cascade(_)
                | Key::Token(_)
                | Key::Orphan(_)
                | Key::Settings,
            ) => None,
        }
    }

    fn of_orphan(orphan: &Orphan) -> Self {
        Self::OrphanedResult {
            orphan_id: orphan.id,
            worker_id: orphan.worker.clone(),
            task_id: orphan.attempt.task,
            attempt: orphan.attempt.attempt.0,
            outcome: orphan.end.to_string(),
            timestamp: orphan.reported_at,
        }
    }

    fn of_member(news: &MemberNews, timestamp: Timestamp) -> Self {
        let MemberNews { name, node: id, what, by } = *news;
        let (event, replaced_by) = match what {
            MemberEvent::Added => ("added", None),
            MemberEvent::Promoted => ("promoted", None),
            MemberEvent::Replaced { by } => ("replaced", Some(by.to_string())),
            MemberEvent::Removed => ("removed", None),
        };
        Self::Member { name, id, event, replaced_by, by, timestamp }
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
            by: record.changed_by.clone(),
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
    /// False if entries were missed, so that the log time may be that of a later one.
    is_exact: bool,
    schedules: KnownSchedules,
}

/// Events of some entries, in order, each with its entry's index.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) events: Vec<(LogIndex, Event)>,
    pub(super) tasks: Vec<(LogIndex, TaskNews)>,
}

impl Translator {
    /// Begins after the entry with that log time.
    pub(super) fn new(log_time: Timestamp) -> Self {
        Self { log_time, is_exact: true, schedules: KnownSchedules::default() }
    }

    /// Begins somewhere before the entry with that log time.
    pub(super) fn after_a_gap(log_time: Timestamp) -> Self {
        Self { is_exact: false, ..Self::new(log_time) }
    }

    /// Knows the schedules that there are.
    pub(super) fn knowing(self, state: &State) -> Self {
        Self { schedules: KnownSchedules::of(state.schedules()), ..self }
    }

    /// Returns the events of some entries.
    pub(super) fn news(
        &mut self,
        changes: &[(LogIndex, Change)],
        members: &[(LogIndex, MemberNews)],
    ) -> News {
        let News { mut events, mut tasks } = News::default();
        let mut members = members.iter().peekable();
        for entry in changes.chunk_by(|(one, _), (next, _)| one == next) {
            while let Some((index, news)) =
                members.next_if(|(at, _)| entry.first().is_some_and(|(next, _)| at < next))
            {
                events.push((*index, Event::of_member(news, self.log_time)));
            }
            // An entry says its time last, and only when it is a new one.
            let time = entry.iter().rev().find_map(|(_, change)| {
                if let Change::Put(Record::Meta(meta)) = change { Some(meta.now) } else { None }
            });
            self.is_exact |= time.is_some();
            self.log_time = time.unwrap_or(self.log_time);
            let now = self.is_exact.then_some(self.log_time);
            tasks.extend(entry.iter().filter_map(|(index, change)| {
                Some((*index, TaskNews::of_change(change, now, self.log_time)?))
            }));
            let told = entry.iter().filter_map(|(index, change)| {
                let of_schedule = self.schedules.status(change, self.log_time);
                let event = of_schedule.map(Event::ScheduleStatus);
                Some((*index, event.or_else(|| Event::of_change(*index, change, self.log_time))?))
            });
            events.extend(told);
        }
        let last = members.map(|(index, news)| (*index, Event::of_member(news, self.log_time)));
        events.extend(last);
        News { events, tasks }
    }
}

#[cfg(test)]
mod tests;
