//! Subscriptions of clients, and the selection of events that they mean. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{LogIndex, Scope, TaskId};
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::de::{Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::event::{Event, Topic};
use super::history::Select;
use super::task_news::TaskNews;

/// Most tasks and labels that one subscription names: each costs memory for as long as its client
/// stays, and time with each event.
const TASKS_MAX: usize = 1_000;
const LABELS_MAX: usize = 64;

/// Types of events, by the names that they have in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventType {
    WorkerStatus,
    TaskStatus,
    ScheduleStatus,
    JobStatus,
    Leader,
    Settings,
    Member,
    OrphanedResult,
    MassLoss,
    Telemetry,
}

impl EventType {
    const fn of(event: &Event) -> Self {
        match event {
            Event::WorkerStatus { .. } => Self::WorkerStatus,
            Event::ScheduleStatus(_) => Self::ScheduleStatus,
            Event::JobStatus(_) => Self::JobStatus,
            Event::Leader { .. } => Self::Leader,
            Event::Settings { .. } => Self::Settings,
            Event::Member { .. } => Self::Member,
            Event::OrphanedResult { .. } => Self::OrphanedResult,
            Event::MassLoss { .. } => Self::MassLoss,
        }
    }

    const fn topic(self) -> Topic {
        match self {
            Self::WorkerStatus => Topic::Workers,
            Self::TaskStatus => Topic::Tasks,
            Self::ScheduleStatus => Topic::Schedules,
            Self::JobStatus => Topic::Jobs,
            Self::Leader
            | Self::Settings
            | Self::Member
            | Self::OrphanedResult
            | Self::MassLoss => Topic::Cluster,
            Self::Telemetry => Topic::Telemetry,
        }
    }
}

/// Subscription of a client: everything from now on, unless it says otherwise.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscription {
    /// Topics. When absent, those of the types or, with filters of tasks, tasks alone; otherwise all.
    #[serde(default, rename = "subscribe")]
    pub(crate) topics: Option<BTreeSet<Topic>>,
    /// Types of events; all of the topics when absent.
    #[serde(default)]
    pub(crate) types: Option<BTreeSet<EventType>>,
    /// The only tasks whose events are wanted; all when empty.
    #[serde(default, deserialize_with = "task_ids")]
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Labels that tasks must have, with their values.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Strictly after which entry; from where the stream is when absent.
    #[serde(default)]
    pub(crate) from_index: Option<LogIndex>,
    /// Of which cluster that entry is; of this one when absent.
    #[serde(default)]
    pub(crate) cluster_id: Option<String>,
}

/// Reads ids of tasks from JSON.
fn task_ids<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<TaskId>, D::Error> {
    let names = Option::<BTreeSet<String>>::deserialize(from)?.unwrap_or_default();
    names.iter().map(|name| name.parse().map_err(D::Error::custom)).collect()
}

/// Reads the name of a topic or a type.
fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Result<T, String> {
    let name: StrDeserializer<'a, NameError> = name.into_deserializer();
    T::deserialize(name).map_err(|error| error.to_string())
}

impl Subscription {
    /// Reads a client's message of JSON, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<Self>(text).map_err(|error| error.to_string())?.checked()
    }

    /// Adds names of topics and of types, and ids of tasks.
    pub(crate) fn with_names<'a>(
        mut self,
        topics: impl IntoIterator<Item = &'a str>,
        types: impl IntoIterator<Item = &'a str>,
        tasks: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        for topic in topics {
            self.topics.get_or_insert_default().insert(named(topic)?);
        }
        for name in types {
            self.types.get_or_insert_default().insert(named(name)?);
        }
        for task in tasks {
            let id = task.parse().map_err(|error: cluster_state::InvalidId| error.to_string())?;
            self.tasks.insert(id);
        }
        Ok(self)
    }

    /// Refuses what cannot mean anything.
    pub(crate) fn checked(self) -> Result<Self, String> {
        if self.tasks.len() > TASKS_MAX {
            return Err(format!("more than {TASKS_MAX} tasks are named"));
        }
        if self.labels.len() > LABELS_MAX {
            return Err(format!("more than {LABELS_MAX} labels are named"));
        }
        let topics = self.topics();
        if self.filters_tasks() && !topics.contains(&Topic::Tasks) {
            return Err("tasks or labels are named, and the topic tasks is not".to_owned());
        }
        let mut types = self.types.iter().flatten();
        if types.any(|one| !topics.contains(&one.topic())) {
            return Err("a type is named, and its topic is not".to_owned());
        }
        Ok(self)
    }

    fn filters_tasks(&self) -> bool {
        !self.tasks.is_empty() || !self.labels.is_empty()
    }

    fn topics(&self) -> BTreeSet<Topic> {
        match (&self.topics, &self.types) {
            (Some(topics), _) => topics.clone(),
            (None, Some(types)) => types.iter().map(|one| one.topic()).collect(),
            (None, None) if self.filters_tasks() => [Topic::Tasks].into(),
            (None, None) => Topic::ALL.into(),
        }
    }

    /// Returns the selection for a client that may know of the tasks in a scope, or of none.
    pub(crate) fn filter(self, visible: Visible) -> Filter {
        let topics = self.topics();
        let Self { types, tasks, labels, .. } = self;
        Filter { topics, types, tasks, labels, visible }
    }
}

/// The tasks of which a client may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visible {
    None,
    Within(Scope),
    All,
}

impl Visible {
    /// Returns true if the client may know of an event that is none of a task's.
    fn covers(&self, event: &Event) -> bool {
        match event {
            Event::ScheduleStatus(status) => match self {
                Self::None => false,
                Self::Within(scope) => status.label(&scope.key) == Some(scope.value.as_str()),
                Self::All => true,
            },
            Event::JobStatus(status) => match self {
                Self::None => false,
                Self::Within(scope) => status.scope() == Some(scope),
                Self::All => true,
            },
            Event::WorkerStatus { .. }
            | Event::Leader { .. }
            | Event::Settings { .. }
            | Event::Member { .. }
            | Event::OrphanedResult { .. }
            | Event::MassLoss { .. } => true,
        }
    }
}

/// Selection of events for one client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    topics: BTreeSet<Topic>,
    types: Option<BTreeSet<EventType>>,
    tasks: BTreeSet<TaskId>,
    labels: BTreeMap<String, String>,
    visible: Visible,
}

impl Filter {
    fn takes_type(&self, one: EventType) -> bool {
        let is_named = self.types.as_ref().is_none_or(|types| types.contains(&one));
        is_named && self.topics.contains(&one.topic())
    }

    /// Returns true if it selects usage.
    pub(crate) fn takes_usage(&self) -> bool {
        self.takes_type(EventType::Telemetry)
    }
}

impl Select<Event, TaskNews> for Filter {
    fn reads_events(&self) -> bool {
        let of_events = [Topic::Workers, Topic::Schedules, Topic::Jobs, Topic::Cluster];
        of_events.iter().any(|topic| self.topics.contains(topic))
    }

    fn reads_tasks(&self) -> bool {
        self.takes_type(EventType::TaskStatus) && self.visible != Visible::None
    }

    fn takes_event(&self, event: &Event) -> bool {
        self.takes_type(EventType::of(event)) && self.visible.covers(event)
    }

    fn takes_task(&self, task: &TaskNews) -> bool {
        let is_visible = match &self.visible {
            Visible::None => false,
            Visible::Within(scope) => task.label(&scope.key) == Some(scope.value.as_str()),
            Visible::All => true,
        };
        is_visible
            && (self.tasks.is_empty() || self.tasks.contains(&task.task()))
            && self.labels.iter().all(|(key, value)| task.label(key) == Some(value.as_str()))
    }
}

#[cfg(test)]
mod tests;
