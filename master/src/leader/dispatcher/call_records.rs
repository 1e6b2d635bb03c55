//! Records of failed calls to workers, and the backoff after each. Pure: time comes in as an
//! argument.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use cluster_state::WorkerId;
use tokio::time::Instant;

use crate::leader::state::SetbackKind;

/// Pause after a failed call, and the longest pause while a worker keeps refusing.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Interval between two probes of an unreachable worker: at first, and after many that failed.
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(30);
/// Time after which a worker without failures is forgotten. If one is lost again sooner, it is
/// probed as seldom as before.
const FORGIVEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// Reason why a call did not achieve everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeliveryFailure {
    /// Nobody answered, with what was seen.
    Unreachable(String),
    /// The worker refused, with its reason.
    Refused(String),
    /// The worker did not take all attempts.
    NoRoom,
    /// The answer could not be recorded, with the reason.
    NotRecorded(String),
}

impl DeliveryFailure {
    /// Its name in metrics.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::NoRoom => "no-room",
            Self::NotRecorded(_) => "not-recorded",
        }
    }

    /// Returns the setback for the orders; nothing when they were carried out.
    pub(super) const fn setback(&self) -> Option<SetbackKind> {
        match self {
            Self::Unreachable(_) => Some(SetbackKind::Unreachable),
            Self::Refused(_) => Some(SetbackKind::Refused),
            Self::NoRoom => Some(SetbackKind::NoRoom),
            Self::NotRecorded(_) => None,
        }
    }

    /// Tells whether both have the same cause.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            // What is seen of an absent worker varies.
            (Self::Unreachable(_), Self::Unreachable(_)) => true,
            _ => self == other,
        }
    }
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) | Self::Refused(reason) | Self::NotRecorded(reason) => {
                f.write_str(reason)
            }
            Self::NoRoom => f.write_str("it has no room for all the attempts that it is given"),
        }
    }
}

/// Purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To deliver orders.
    Orders,
    /// To see whether an unreachable worker can be called again.
    Probe,
}

/// Records of the workers to which calls have failed.
#[derive(Debug, Default)]
pub(super) struct CallRecords {
    by_worker: HashMap<WorkerId, CallRecord>,
}

#[derive(Debug)]
struct CallRecord {
    /// Failure of the last call; none if it succeeded.
    failure: Option<DeliveryFailure>,
    /// Beginning of the failure, or its end.
    since: Instant,
    /// Consecutive calls with that failure.
    failures: u32,
    /// Consecutive probes that failed.
    probes: u32,
    calls_from: Instant,
}

/// A recorded failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// True if the previous call succeeded or failed in another way.
    pub(super) is_news: bool,
    /// Time since the first call with that failure.
    pub(super) lasts: Duration,
}

impl CallRecords {
    /// Tells whether the worker must not be called yet.
    pub(super) fn is_backing_off(&self, worker: &WorkerId, now: Instant) -> bool {
        self.by_worker.get(worker).is_some_and(|record| record.calls_from > now)
    }

    /// Handles a successful call. Returns the failure that is over.
    pub(super) fn on_answered(
        &mut self,
        worker: &WorkerId,
        purpose: Purpose,
        now: Instant,
    ) -> Option<DeliveryFailure> {
        match purpose {
            Purpose::Orders => {
                let record = self.by_worker.get_mut(worker)?;
                let over = record.failure.take()?;
                *record = CallRecord {
                    failure: None,
                    since: now,
                    failures: 0,
                    calls_from: now,
                    ..*record
                };
                Some(over)
            }
            Purpose::Probe => {
                let record = self.record(worker, now);
                record.since = now;
                // Until it is on record that the worker can be called.
                record.calls_from = now + PAUSE_MIN;
                record.failure.take()
            }
        }
    }

    fn record(&mut self, worker: &WorkerId, now: Instant) -> &mut CallRecord {
        self.by_worker.entry(worker.clone()).or_insert(CallRecord {
            failure: None,
            since: now,
            failures: 0,
            probes: 0,
            calls_from: now,
        })
    }

    /// Handles a failed call.
    pub(super) fn on_failed(
        &mut self,
        worker: &WorkerId,
        failure: DeliveryFailure,
        purpose: Purpose,
        now: Instant,
    ) -> Noted {
        let record = self.record(worker, now);
        let is_news = !record.failure.as_ref().is_some_and(|known| known.is_like(&failure));
        if is_news {
            (record.since, record.failures) = (now, 0);
        }
        record.failures = record.failures.saturating_add(1);
        if purpose == Purpose::Probe {
            record.probes = record.probes.saturating_add(1);
        }

        let rest = match (purpose, &failure) {
            (Purpose::Probe, _) => doubled(PROBE_MIN, record.probes, PROBE_MAX),
            (Purpose::Orders, DeliveryFailure::Refused(_)) => {
                doubled(PAUSE_MIN, record.failures, PAUSE_MAX)
            }
            (
                Purpose::Orders,
                DeliveryFailure::Unreachable(_)
                | DeliveryFailure::NoRoom
                | DeliveryFailure::NotRecorded(_),
            ) => PAUSE_MIN,
        };

        record.calls_from = now + rest;
        record.failure = Some(failure);
        Noted { is_news, lasts: now.saturating_duration_since(record.since) }
    }

    /// Returns the end of the first backoff after `now`.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        self.by_worker.values().map(|one| one.calls_from).filter(|at| *at > now).min()
    }

    /// Forgets workers without failures for a long time.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.by_worker.retain(|_, record| {
            let latest = record.since.max(record.calls_from);
            now.saturating_duration_since(latest) < FORGIVEN_AFTER
        });
    }
}

/// Doubles a time with each failure after the first.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> WorkerId {
        "w1".parse().unwrap()
    }

    fn unreachable(why: &str) -> DeliveryFailure {
        DeliveryFailure::Unreachable(why.to_owned())
    }

    #[test]
    fn a_failure_lasts_from_the_first_call_that_nobody_answered() {
        let (mut records, start) = (CallRecords::default(), Instant::now());
        let mut note = |failure, seconds| {
            let now = start + Duration::from_secs(seconds);
            records.on_failed(&worker(), failure, Purpose::Orders, now)
        };
        let lasts = Duration::from_secs;
        assert_eq!(note(unreachable("refused"), 0), Noted { is_news: true, lasts: lasts(0) });
        assert_eq!(note(unreachable("silence"), 4), Noted { is_news: false, lasts: lasts(4) });
        assert_eq!(note(DeliveryFailure::NoRoom, 5), Noted { is_news: true, lasts: lasts(0) });
        assert_eq!(note(unreachable("refused"), 9), Noted { is_news: true, lasts: lasts(0) });
    }

    #[test]
    fn an_answer_ends_the_failure_and_the_backoff() {
        let (mut records, now) = (CallRecords::default(), Instant::now());
        assert_eq!(records.on_answered(&worker(), Purpose::Orders, now), None);
        records.on_failed(&worker(), DeliveryFailure::NoRoom, Purpose::Orders, now);
        assert!(records.is_backing_off(&worker(), now));
        assert_eq!(records.next_end(now), Some(now + PAUSE_MIN));

        let over = records.on_answered(&worker(), Purpose::Orders, now);
        assert_eq!(over, Some(DeliveryFailure::NoRoom));
        assert!(!records.is_backing_off(&worker(), now));
        assert_eq!(records.next_end(now), None);
    }

    #[test]
    fn a_worker_that_comes_and_goes_is_probed_more_and_more_seldom() {
        let (mut records, mut now) = (CallRecords::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..3 {
            records.on_failed(&worker(), unreachable("refused"), Purpose::Probe, now);
            let end = records.next_end(now).unwrap();
            rests.push(end - now);
            now = end;
            records.on_answered(&worker(), Purpose::Orders, now);
        }
        assert_eq!(rests, [1, 2, 4].map(Duration::from_secs));

        records.forgive(now + FORGIVEN_AFTER);
        records.on_failed(&worker(), unreachable("refused"), Purpose::Probe, now);
        assert_eq!(records.next_end(now), Some(now + PROBE_MIN));
    }

    #[test]
    fn a_refusal_that_lasts_is_asked_for_less_often() {
        let (mut records, now) = (CallRecords::default(), Instant::now());
        for _ in 0..10 {
            let refused = DeliveryFailure::Refused("disk full".to_owned());
            records.on_failed(&worker(), refused, Purpose::Orders, now);
        }
        assert_eq!(records.next_end(now), Some(now + PAUSE_MAX));
    }
}
