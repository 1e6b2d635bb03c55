//! Converts when a task may start, when it is too late for it, and how its failures are retried.

use std::time::Duration;

use cluster_state::{ExitCodes, Limits, RetryPolicy, Task, Timing, When};

use super::faults::Faults;
use super::{Breach, parse_rfc3339, rfc3339, time};
use crate::v1;

/// Reads what a task says of its time. Faults are collected, and the rest is read in spite of them.
pub(super) fn read(wire: &v1::TaskSpec, faults: &mut Faults) -> Timing {
    let start = start(wire, faults);
    let queue_timeout = wire
        .queue_timeout
        .as_deref()
        .and_then(|text| faults.keep("/queue_timeout", positive(text)));
    let deadline =
        wire.deadline.as_deref().and_then(|text| faults.keep("/deadline", deadline(text)));
    let is_in_time = match (start, deadline) {
        (Some(When::After(start)), Some(When::After(deadline))) => start < deadline,
        (Some(When::At(start)), Some(When::At(deadline))) => start < deadline,
        // A time and a duration cannot be compared before the submission is committed.
        _ => true,
    };
    if !is_in_time {
        faults.add("/deadline", &Breach::NotAfterStart);
    }
    let retry = policy(wire, faults);
    Timing { start, queue_timeout, deadline, retry, ..Timing::default() }
}

fn start(wire: &v1::TaskSpec, faults: &mut Faults) -> Option<When> {
    if wire.delay.is_some() && wire.not_before.is_some() {
        faults.add("/delay", &Breach::Excludes { other: "not_before" });
    }
    let delay = wire.delay.as_deref().and_then(|text| faults.keep("/delay", time::duration(text)));
    let not_before = wire
        .not_before
        .as_deref()
        .and_then(|text| faults.keep("/not_before", parse_rfc3339(text).map_err(|_| Breach::Time)));
    // No delay is none.
    let delay = delay.filter(|delay| !delay.is_zero()).map(When::After);
    delay.or(not_before.map(When::At))
}

fn positive(text: &str) -> Result<Duration, Breach> {
    let duration = time::duration(text)?;
    if duration.is_zero() { Err(Breach::ZeroDuration) } else { Ok(duration) }
}

/// Reads a duration, or a time. A text that begins like a date is no duration.
fn deadline(text: &str) -> Result<When, Breach> {
    if let Ok(at) = parse_rfc3339(text) {
        return Ok(When::At(at));
    }
    match positive(text) {
        Ok(duration) => Ok(When::After(duration)),
        Err(Breach::Duration) => Err(Breach::TimeOrDuration),
        Err(other) => Err(other),
    }
}

fn policy(wire: &v1::TaskSpec, faults: &mut Faults) -> RetryPolicy {
    let limits = Limits::NEWEST;
    let factor = wire.retry_factor.and_then(|factor| {
        let read = thousandths(factor, 1, limits.retry_factor_milli_max / 1_000);
        faults.keep("/retry_factor", read)
    });
    let jitter = wire
        .retry_jitter
        .and_then(|jitter| faults.keep("/retry_jitter", thousandths(jitter, 0, 1)));
    let max_backoff = wire.retry_max_backoff.as_deref().and_then(|text| {
        let read = positive(text).and_then(|most| {
            if most <= limits.task_backoff_max { Ok(most) } else { Err(Breach::BackoffTooLong) }
        });
        faults.keep("/retry_max_backoff", read)
    });

    let (texts, max) = (&wire.no_retry_exit_codes, limits.final_codes_max);
    if texts.len() > max {
        let breach = Breach::TooMany { count: texts.len(), max };
        faults.add("/no_retry_exit_codes", &breach);
    }
    let codes = texts.iter().take(max).enumerate().filter_map(|(position, text)| {
        faults.keep(&format!("/no_retry_exit_codes/{position}"), exit_codes(text))
    });
    RetryPolicy {
        final_codes: codes.collect(),
        factor_milli: factor.unwrap_or(RetryPolicy::FACTOR_MILLI_DEFAULT),
        max_backoff,
        jitter_milli: jitter.unwrap_or(0),
    }
}

/// Reads a number from `min` to `max` as thousandths.
fn thousandths(value: f64, min: u32, max: u32) -> Result<u32, Breach> {
    let breach = Breach::Decimal { min, max };
    let milli = (value * 1_000.0).round();
    if !(f64::from(min) * 1_000.0..=f64::from(max) * 1_000.0).contains(&milli) {
        return Err(breach);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between zero and a hundred thousand, as checked above"
    )]
    let milli = milli as u32;
    // A finer number is refused, not rounded.
    if as_decimal(milli).to_bits() == value.abs().to_bits() { Ok(milli) } else { Err(breach) }
}

fn as_decimal(milli: u32) -> f64 {
    f64::from(milli) / 1_000.0
}

/// Reads one code or a range of them, as in `64-78`.
fn exit_codes(text: &str) -> Result<ExitCodes, Breach> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse::<u8>().ok().filter(|code| *code > 0);
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(ExitCodes { first, last }),
        _ => Err(Breach::ExitCodes),
    }
}

/// Adds to what is shown of a task when it may start, when it is too late, and how it is retried: times
/// where they are known, and otherwise what was asked for.
pub(super) fn show(wire: &mut v1::Task, task: &Task) {
    wire.retries = Some(task.retries()).filter(|retries| *retries > 0);
    let Some(timing) = task.spec.timing.as_deref() else { return };
    wire.not_before = timing.start.map(|start| rfc3339(start.from(task.submitted_at)));
    wire.queue_timeout = timing.queue_timeout.map(duration);
    wire.deadline = task.course.as_ref().and_then(|course| course.end_by).map(rfc3339);
    let RetryPolicy { factor_milli, max_backoff, jitter_milli, final_codes } = &timing.retry;
    wire.retry_factor = Some(*factor_milli)
        .filter(|factor| *factor != RetryPolicy::FACTOR_MILLI_DEFAULT)
        .map(as_decimal);
    wire.retry_max_backoff = max_backoff.map(duration);
    wire.retry_jitter = Some(*jitter_milli).filter(|jitter| *jitter > 0).map(as_decimal);
    wire.no_retry_exit_codes = final_codes.iter().map(ToString::to_string).collect();
}

/// Adds to the description of a task what it asks for of its time.
pub(super) fn describe(wire: &mut v1::TaskSpec, timing: &Timing) {
    match timing.start {
        Some(When::After(delay)) => wire.delay = Some(duration(delay)),
        Some(When::At(at)) => wire.not_before = Some(rfc3339(at)),
        None => {}
    }
    wire.queue_timeout = timing.queue_timeout.map(duration);
    wire.deadline = timing.deadline.map(|deadline| match deadline {
        When::After(after) => duration(after),
        When::At(at) => rfc3339(at),
    });
    let RetryPolicy { factor_milli, max_backoff, jitter_milli, final_codes } = &timing.retry;
    wire.retry_factor = Some(*factor_milli)
        .filter(|factor| *factor != RetryPolicy::FACTOR_MILLI_DEFAULT)
        .map(as_decimal);
    wire.retry_max_backoff = max_backoff.map(duration);
    wire.retry_jitter = Some(*jitter_milli).filter(|jitter| *jitter > 0).map(as_decimal);
    wire.no_retry_exit_codes = final_codes.iter().map(ToString::to_string).collect();
}

pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster_state::{Course, LogIndex, TaskId, TaskSpec, TaskState, Timestamp};

    use super::*;

    fn wire(json: serde_json::Value) -> v1::TaskSpec {
        let serde_json::Value::Object(fields) = json else { panic!("{json} is no object") };
        let mut task = serde_json::json!({"command": ["true"]});
        task.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(task).unwrap()
    }

    fn timing(json: serde_json::Value) -> Option<Timing> {
        TaskSpec::try_from(wire(json)).unwrap().timing.map(|timing| *timing)
    }

    fn faults(json: serde_json::Value) -> Vec<String> {
        let refused = TaskSpec::try_from(wire(json)).unwrap_err();
        refused.faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_task_that_asks_for_nothing_has_no_timing() {
        assert_eq!(timing(serde_json::json!({})), None);
        assert_eq!(
            timing(serde_json::json!({"delay": "0s", "retry_factor": 2, "retry_jitter": 0})),
            None
        );
    }

    #[test]
    fn times_and_policies_are_read_to_the_last_field() {
        let read = timing(serde_json::json!({
            "delay": "1m", "queue_timeout": "10m", "deadline": "2h", "retry_factor": 1.5,
            "retry_max_backoff": "1h", "retry_jitter": 0.25, "no_retry_exit_codes": [2, "64-78"],
        }));
        let codes = |first, last| ExitCodes { first, last };
        let expected = Timing {
            start: Some(When::After(Duration::from_secs(60))),
            queue_timeout: Some(Duration::from_secs(600)),
            deadline: Some(When::After(Duration::from_secs(7_200))),
            retry: RetryPolicy {
                factor_milli: 1_500,
                max_backoff: Some(Duration::from_secs(3_600)),
                jitter_milli: 250,
                final_codes: [codes(2, 2), codes(64, 78)].into(),
            },
            ..Timing::default()
        };
        assert_eq!(read, Some(expected));

        let at = |time: &str| When::At(parse_rfc3339(time).unwrap());
        let (start, end) = ("2030-01-01T00:00:00Z", "2030-01-01T06:30:00.500Z");
        let read = timing(serde_json::json!({"not_before": start, "deadline": end})).unwrap();
        assert_eq!((read.start, read.deadline), (Some(at(start)), Some(at(end))));
    }

    #[test]
    fn what_is_not_allowed_is_told_with_its_place() {
        let told = faults(serde_json::json!({
            "delay": "1m", "not_before": "tomorrow", "queue_timeout": "0s", "deadline": "soon",
            "retry_factor": 0.9, "retry_max_backoff": "25h", "retry_jitter": 1.001,
            "no_retry_exit_codes": [0, "78-64", "x", 256, "3"],
        }));
        let code = "is not an exit code from 1 to 255, nor a range of them as in 64-78";
        let expected = [
            "/delay: cannot be given beside not_before",
            "/not_before: is not a time: write it as in 2030-01-31T12:00:00Z",
            "/queue_timeout: must be more than zero",
            "/deadline: is neither a duration, as in 2h, nor a time, as in 2030-01-31T12:00:00Z",
            "/retry_factor: is not a number from 1 to 100 with at most three decimals",
            "/retry_jitter: is not a number from 0 to 1 with at most three decimals",
            "/retry_max_backoff: is longer than a day",
            &format!("/no_retry_exit_codes/0: {code}"),
            &format!("/no_retry_exit_codes/1: {code}"),
            &format!("/no_retry_exit_codes/2: {code}"),
            &format!("/no_retry_exit_codes/3: {code}"),
        ];
        assert_eq!(told, expected);

        for late in [
            serde_json::json!({"delay": "2h", "deadline": "2h"}),
            serde_json::json!({"not_before": "2030-01-02T00:00:00Z", "deadline": "2030-01-01T00:00:00Z"}),
        ] {
            let expected = "/deadline: is not after the time at which the task may start";
            assert_eq!(faults(late), [expected]);
        }
        for factor in [f64::NAN, f64::INFINITY, 1.0005, -1.0, 100.001] {
            assert!(thousandths(factor, 1, 100).is_err(), "{factor}");
        }
        let many = serde_json::json!({"no_retry_exit_codes": vec![7; 33]});
        assert_eq!(faults(many), ["/no_retry_exit_codes: has 33 elements: at most 32 are allowed"]);
    }

    #[test]
    fn what_was_asked_is_shown_with_the_times_that_it_means() {
        let spec = TaskSpec::try_from(wire(serde_json::json!({
            "delay": "1m", "queue_timeout": "10m", "deadline": "2h", "retry_factor": 1.5,
            "retry_max_backoff": "1h", "retry_jitter": 0.25, "no_retry_exit_codes": [2, "64-78"],
        })))
        .unwrap();
        let end_by = Some(Timestamp(7_200_000));
        let task = Task {
            id: TaskId(17),
            spec: Arc::new(spec),
            state: TaskState::Scheduled { until: Timestamp(60_000) },
            reason: None,
            submitted_at: Timestamp(0),
            finished_at: None,
            failures: 0,
            losses: 0,
            attempts: Vec::new(),
            index: LogIndex(1),
            course: Some(Box::new(Course { end_by, retries: 3, ..Course::default() })),
            ahead: None,
        };
        let shown = serde_json::to_value(crate::convert::task(&task, None)).unwrap();
        for (field, expected) in [
            ("not_before", serde_json::json!("1970-01-01T00:01:00.000Z")),
            ("queue_timeout", serde_json::json!("10m")),
            ("deadline", serde_json::json!("1970-01-01T02:00:00.000Z")),
            ("retry_factor", serde_json::json!(1.5)),
            ("retry_max_backoff", serde_json::json!("1h")),
            ("retry_jitter", serde_json::json!(0.25)),
            ("no_retry_exit_codes", serde_json::json!([2, "64-78"])),
            ("retries", serde_json::json!(3)),
        ] {
            assert_eq!(shown[field], expected, "{field}");
        }
    }
}
