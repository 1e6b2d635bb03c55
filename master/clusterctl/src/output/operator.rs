//! Formats the history and usage of workers, reconnections, join tokens, settings and the mass-loss
//! alarm.

use proto::v1;

use super::table::{NOTHING, Style, columns, fields, or_nothing, shown};

/// Formats the history of a worker as rows.
#[must_use]
pub fn worker_history(history: &v1::WorkerHistory, style: Style) -> String {
    let rows = history.events.iter().map(|event| {
        [
            event.timestamp.clone(),
            event.index.to_string(),
            shown::<v1::WorkerEventKind>(event.event),
            or_nothing(event.detail.as_ref()),
        ]
    });
    columns(["TIME", "INDEX", "EVENT", "DETAIL"], rows.collect(), style)
}

/// Formats the usage of a worker: the latest sample is the last row.
#[must_use]
pub fn worker_metrics(metrics: &v1::WorkerMetrics, style: Style) -> String {
    if metrics.latest.is_none() && metrics.history.is_empty() {
        let worker = &metrics.worker_id;
        return format!("none yet: {worker} has not reported to this leader since it is active");
    }

    // A leader that keeps no history still knows the latest sample.
    let samples = match metrics.history.as_slice() {
        [] => metrics.latest.as_slice(),
        past => past,
    };
    let rows = samples.iter().map(|sample| {
        [
            sample.timestamp.clone(),
            percent(sample.cpu),
            percent(sample.memory),
            percent(sample.storage),
            percent(sample.gpu),
            sample.running_tasks.to_string(),
        ]
    });
    columns(["TIME", "CPU", "MEMORY", "STORAGE", "GPU", "TASKS"], rows.collect(), style)
}

fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// Formats the outcomes of reconnections as rows.
#[must_use]
pub fn reconnections(response: &v1::ReconnectResponse, style: Style) -> String {
    if response.results.is_empty() {
        return "no worker is inactive".to_owned();
    }
    let rows = response.results.iter();
    let rows = rows.map(|one| [one.worker_id.clone(), shown::<v1::ReconnectOutcome>(one.outcome)]);
    columns(["WORKER", "OUTCOME"], rows.collect(), style)
}

/// Formats join tokens as rows.
#[must_use]
pub fn tokens(tokens: &[v1::Token], style: Style) -> String {
    let rows = tokens.iter().map(|token| {
        let description = Some(&token.description).filter(|text| !text.is_empty());
        [
            token.token_id.clone(),
            if token.expired { "expired" } else { "valid" }.to_owned(),
            token.created_at.clone(),
            token.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            or_nothing(description),
        ]
    });
    columns(["TOKEN", "STATE", "CREATED", "EXPIRES", "DESCRIPTION"], rows.collect(), style)
}

/// Formats settings as rows.
#[must_use]
pub fn config(config: &v1::ClusterConfig, style: Style) -> String {
    let rows = config.settings.iter().map(|setting| {
        let source = shown::<v1::SettingSource>(setting.source);
        [
            setting.key.clone(),
            Some(&setting.value)
                .filter(|value| !value.is_empty())
                .map_or_else(|| NOTHING.to_owned(), Clone::clone),
            setting.master_id.map_or_else(|| source.clone(), |id| format!("{source} {id}")),
            setting.index.to_string(),
        ]
    });
    columns(["SETTING", "VALUE", "SOURCE", "INDEX"], rows.collect(), style)
}

/// Formats the mass-loss alarm, or says that there is none.
#[must_use]
pub fn mass_loss(alarm: &Option<v1::MassLoss>, _: Style) -> String {
    let Some(alarm) = alarm else { return "no mass loss is raised".to_owned() };
    fields(&[
        ("since", alarm.since.clone()),
        ("lost", format!("{} of {} active workers", alarm.lost, alarm.of)),
        ("acknowledged at", alarm.acknowledged_at.clone().unwrap_or_else(|| NOTHING.to_owned())),
    ])
}

/// Formats the alarm as a line that cannot be overlooked, with advice.
pub(super) fn alarm(alarm: &v1::MassLoss, style: Style) -> String {
    let v1::MassLoss { since, lost, of, acknowledged_at } = alarm;
    let what = format!("!! MASS LOSS: {lost} of {of} workers fell silent at once, since {since}");
    let text = match acknowledged_at {
        Some(at) => format!("{what}; acknowledged at {at}"),
        None => format!(
            "{what}. Their tasks are queued again slowly, because the cause may be the network or \
             the masters. Look there first; if the workers are gone for good: clusterctl \
             mass-loss acknowledge"
        ),
    };
    match style {
        Style::Colored => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
        Style::Plain => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu: f64) -> v1::UsageSample {
        v1::UsageSample {
            worker_id: "w1".to_owned(),
            timestamp: "2025-11-17T10:30:00.000Z".to_owned(),
            cpu,
            memory: 50.04,
            storage: 3.0,
            gpu: 0.0,
            running_tasks: 2,
        }
    }

    #[test]
    fn a_history_is_rows_oldest_first() {
        let event = |index, event: v1::WorkerEventKind, detail: Option<&str>| v1::WorkerEvent {
            timestamp: "2025-11-17T10:30:00.000Z".to_owned(),
            index,
            event: event.into(),
            detail: detail.map(str::to_owned),
        };
        let history = v1::WorkerHistory {
            worker_id: "w1".to_owned(),
            events: vec![
                event(7, v1::WorkerEventKind::Registered, None),
                event(9, v1::WorkerEventKind::Connected, Some("epoch 1")),
            ],
        };
        let expected = "\
TIME                      INDEX  EVENT       DETAIL
2025-11-17T10:30:00.000Z  7      registered  -
2025-11-17T10:30:00.000Z  9      connected   epoch 1";
        assert_eq!(worker_history(&history, Style::Plain), expected);
    }

    #[test]
    fn usage_is_rows_or_none_yet() {
        let none = v1::WorkerMetrics { worker_id: "w1".to_owned(), ..Default::default() };
        assert!(worker_metrics(&none, Style::Plain).starts_with("none yet: w1"));
        let busy = v1::WorkerMetrics {
            latest: Some(sample(12.34)),
            history: vec![sample(99.96), sample(12.34)],
            ..none
        };
        let expected = "\
TIME                      CPU      MEMORY  STORAGE  GPU    TASKS
2025-11-17T10:30:00.000Z  100.0 %  50.0 %  3.0 %    0.0 %  2
2025-11-17T10:30:00.000Z  12.3 %   50.0 %  3.0 %    0.0 %  2";
        assert_eq!(worker_metrics(&busy, Style::Plain), expected);
    }

    #[test]
    fn attempts_at_workers_are_rows() {
        let nobody = v1::ReconnectResponse::default();
        assert_eq!(reconnections(&nobody, Style::Plain), "no worker is inactive");
        let outcome = v1::ReconnectOutcome::Reached.into();
        let one = v1::ReconnectResult { worker_id: "w1".to_owned(), outcome };
        let some = v1::ReconnectResponse { results: vec![one] };
        assert_eq!(reconnections(&some, Style::Plain), "WORKER  OUTCOME\nw1      reached");
    }

    #[test]
    fn tokens_are_rows_without_secrets() {
        let token = v1::Token {
            token_id: "rack-7".to_owned(),
            created_at: "2025-11-17T10:30:00.000Z".to_owned(),
            ..v1::Token::default()
        };
        let expected = "\
TOKEN   STATE  CREATED                   EXPIRES  DESCRIPTION
rack-7  valid  2025-11-17T10:30:00.000Z  never    -";
        assert_eq!(tokens(&[token], Style::Plain), expected);
    }

    #[test]
    fn settings_are_rows_with_their_sources() {
        let setting = |key: &str, value: &str, source: v1::SettingSource, master_id| v1::Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            source: source.into(),
            master_id,
            index: 7,
        };
        let settings = vec![
            setting("worker.lease", "10m", v1::SettingSource::Operator, None),
            setting("scheduler.strategy", "spread", v1::SettingSource::Master, Some(2)),
            setting("reconnect.intervals_by_priority", "", v1::SettingSource::Default, None),
        ];
        let shown = config(&v1::ClusterConfig { settings, ..Default::default() }, Style::Plain);
        let expected = "\
SETTING                          VALUE   SOURCE    INDEX
worker.lease                     10m     operator  7
scheduler.strategy               spread  master 2  7
reconnect.intervals_by_priority  -       default   7";
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_alarm_says_what_to_do_until_that_is_done() {
        let raised = v1::MassLoss { lost: 6, of: 8, ..v1::MassLoss::default() };
        assert!(alarm(&raised, Style::Plain).contains("clusterctl mass-loss acknowledge"));
        assert!(alarm(&raised, Style::Colored).contains('\u{1b}'));
        let done = v1::MassLoss { acknowledged_at: Some("now".to_owned()), ..raised };
        assert!(alarm(&done, Style::Plain).ends_with("; acknowledged at now"));
        assert_eq!(mass_loss(&None, Style::Plain), "no mass loss is raised");
    }
}
