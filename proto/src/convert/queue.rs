//! Converts named queues.

use cluster_state::{LogIndex, Queue, QueueName, QueueSettings, Rate};

use super::{Breach, Invalid, id, rfc3339, time};
use crate::v1;

/// Settings of a queue, as they were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQueue {
    /// Name of the queue.
    pub name: QueueName,
    /// Settings.
    pub settings: QueueSettings,
    /// Log position of the settings from which the caller went on, if that matters.
    pub known_at: Option<LogIndex>,
}

impl TryFrom<v1::QueueSpec> for NewQueue {
    type Error = Invalid;

    fn try_from(wire: v1::QueueSpec) -> Result<Self, Invalid> {
        let usual = QueueSettings::default();
        let settings = QueueSettings {
            weight: wire.weight.unwrap_or(usual.weight),
            is_paused: wire.paused.unwrap_or(usual.is_paused),
            max_running: wire.max_running,
            max_running_per_key: wire.max_running_per_key.unwrap_or(usual.max_running_per_key),
            rate: wire.rate.as_ref().map(rate).transpose()?,
        };
        check("/weight", settings.weight, QueueSettings::WEIGHT_MAX)?;
        check("/max_running", settings.max_running.unwrap_or(1), u32::MAX)?;
        check("/max_running_per_key", settings.max_running_per_key, u32::MAX)?;
        Ok(Self {
            name: id::<QueueName>("/name", &wire.name)?,
            settings,
            known_at: wire.settings_index.map(LogIndex),
        })
    }
}

fn check(pointer: &str, value: u32, max: u32) -> Result<(), Invalid> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Invalid::malformed(pointer, &Breach::OutOfRange { min: 1, max: max.into() }))
}

fn rate(wire: &v1::QueueRate) -> Result<Rate, Invalid> {
    check("/rate/starts", wire.starts, Rate::STARTS_MAX)?;
    let per = time::duration(&wire.per);
    let per = per.map_err(|breach| Invalid::malformed("/rate/per", &breach))?;
    let (min, max) = Rate::PER_RANGE;
    if per < min || per > max || per.subsec_nanos() != 0 {
        return Err(Invalid::malformed("/rate/per", &Breach::RateTime));
    }
    Ok(Rate { starts: wire.starts, per })
}

/// Converts the settings of a queue; what its tasks do is known elsewhere.
#[must_use]
pub fn queue(name: &QueueName, queue: Option<&Queue>) -> v1::Queue {
    let QueueSettings { weight, is_paused, max_running, max_running_per_key, rate } =
        queue.map(|queue| queue.settings).unwrap_or_default();
    v1::Queue {
        name: name.to_string(),
        weight,
        paused: is_paused,
        max_running,
        max_running_per_key,
        rate: rate.map(|rate| v1::QueueRate {
            starts: rate.starts,
            per: format!("{}s", rate.per.as_secs()),
        }),
        created_at: queue.map(|queue| rfc3339(queue.created_at)),
        changed_at: queue.map(|queue| rfc3339(queue.changed_at)),
        settings_index: queue.map_or(0, |queue| queue.changed_index.0),
        ..v1::Queue::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cluster_state::{Timestamp, Used};

    use super::*;

    fn fault(spec: v1::QueueSpec) -> String {
        let invalid = NewQueue::try_from(spec).unwrap_err();
        invalid.faults().first().unwrap().pointer.clone()
    }

    #[test]
    fn settings_are_read_as_they_are_shown() {
        let spec = v1::QueueSpec {
            name: "night".to_owned(),
            weight: Some(3),
            paused: Some(true),
            max_running: Some(4),
            max_running_per_key: Some(2),
            rate: Some(v1::QueueRate { starts: 5, per: "1m".to_owned() }),
            settings_index: Some(9),
        };
        let new = NewQueue::try_from(spec).unwrap();
        let rate = Rate { starts: 5, per: Duration::from_secs(60) };
        let settings = QueueSettings {
            weight: 3,
            is_paused: true,
            max_running: Some(4),
            max_running_per_key: 2,
            rate: Some(rate),
        };
        assert_eq!((new.settings, new.known_at), (settings, Some(LogIndex(9))));

        let known = Queue {
            name: new.name.clone(),
            settings,
            used: Used::default(),
            created_at: Timestamp(1_000),
            changed_at: Timestamp(2_000),
            changed_index: LogIndex(9),
            index: LogIndex(12),
        };
        let shown = queue(&new.name, Some(&known));
        assert_eq!(shown.rate.as_ref().unwrap().per, "60s");
        let again = v1::QueueSpec {
            name: shown.name,
            weight: Some(shown.weight),
            paused: Some(shown.paused),
            max_running: shown.max_running,
            max_running_per_key: Some(shown.max_running_per_key),
            rate: shown.rate,
            settings_index: Some(shown.settings_index),
        };
        assert_eq!(NewQueue::try_from(again).unwrap(), new);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let spec = || v1::QueueSpec { name: "a".to_owned(), ..v1::QueueSpec::default() };
        assert_eq!(NewQueue::try_from(spec()).unwrap().settings, QueueSettings::default());
        assert_eq!(fault(v1::QueueSpec { name: "a/b".to_owned(), ..spec() }), "/name");
        assert_eq!(fault(v1::QueueSpec { weight: Some(0), ..spec() }), "/weight");
        assert_eq!(fault(v1::QueueSpec { max_running: Some(0), ..spec() }), "/max_running");
        assert_eq!(
            fault(v1::QueueSpec { max_running_per_key: Some(0), ..spec() }),
            "/max_running_per_key"
        );
        let rate = |starts, per: &str| {
            let rate = Some(v1::QueueRate { starts, per: per.to_owned() });
            fault(v1::QueueSpec { rate, ..spec() })
        };
        assert_eq!(rate(0, "1s"), "/rate/starts");
        assert_eq!(rate(1, "1500ms"), "/rate/per");
        assert_eq!(rate(1, "25h"), "/rate/per");
    }
}
