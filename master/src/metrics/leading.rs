//! Series that only a leader has: on a follower they are absent, not zero.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Seconds;

/// Every value of the `kind` label, so that each counter is there from the start.
const STALE_KINDS: [&str; 6] =
    ["completion", "running-attempt", "heartbeat", "leader-term", "cluster", "join-token"];

/// Every value of the `outcome` label, so that each counter is there from the start.
const OUTCOMES: [&str; 4] = ["completed", "failed", "start-failed", "lost"];

/// A label with few values that are known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label(&'static str, &'static str);

impl EncodeLabelSet for Label {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [(self.0, self.1)].encode(encoder)
    }
}

#[derive(Clone)]
pub(super) struct Leading {
    pub(super) heartbeats: Counter,
    pub(super) round: Seconds,
    pub(super) time_to_reconnect: LongSeconds,
    pub(super) worker_up: LongSeconds,
    pub(super) submit_to_start: Seconds,
    attempts: Counter,
    successes: Counter,
    failures: Counter,
    ended: Family<Label, Counter>,
    stale: Family<Label, Counter>,
}

/// A histogram of times from seconds to weeks.
#[derive(Clone)]
pub(super) struct LongSeconds(Histogram);

impl LongSeconds {
    fn new() -> Self {
        Self(Histogram::new((0..20_u32).map(|power| f64::from(1_u32 << power))))
    }

    pub(super) fn observe(&self, time: std::time::Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

impl Leading {
    pub(super) fn new() -> Self {
        let leading = Self {
            heartbeats: Counter::default(),
            round: Seconds::default(),
            time_to_reconnect: LongSeconds::new(),
            worker_up: LongSeconds::new(),
            submit_to_start: Seconds::default(),
            attempts: Counter::default(),
            successes: Counter::default(),
            failures: Counter::default(),
            ended: Family::default(),
            stale: Family::default(),
        };
        for outcome in OUTCOMES {
            drop(leading.ended.get_or_create(&Label("outcome", outcome)));
        }
        for kind in STALE_KINDS {
            drop(leading.stale.get_or_create(&Label("kind", kind)));
        }
        leading
    }

    pub(super) fn on_reconnect_attempt(&self, was_reached: bool) {
        self.attempts.inc();
        let outcome = if was_reached { &self.successes } else { &self.failures };
        outcome.inc();
    }

    pub(super) fn on_stale(&self, kind: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.stale.get_or_create(&Label("kind", kind)).inc_by(count);
    }

    pub(super) fn on_attempt_ended(&self, outcome: &'static str) {
        self.ended.get_or_create(&Label("outcome", outcome)).inc();
    }

    pub(super) fn on_attempts_lost(&self, count: u32) {
        self.ended.get_or_create(&Label("outcome", "lost")).inc_by(u64::from(count));
    }

    pub(super) fn register(&self, to: &mut Registry) {
        let leading = self.clone();
        to.register("worker_heartbeats", "Heartbeats received", leading.heartbeats);
        to.register("reconnect_attempts", "Attempts to reach inactive workers", leading.attempts);
        to.register("reconnect_successes", "Inactive workers reached", leading.successes);
        to.register("reconnect_failures", "Inactive workers not reached", leading.failures);
        to.register("reconnect_round_seconds", "Time of one reconnection round", leading.round.0);
        to.register(
            "worker_time_to_reconnect_seconds",
            "How long workers were inactive",
            leading.time_to_reconnect.0,
        );
        to.register("worker_up_seconds", "How long workers were active", leading.worker_up.0);
        to.register(
            "task_submit_to_start_seconds",
            "From a task's submission to the start of its first attempt",
            leading.submit_to_start.0,
        );
        to.register("attempts", "Attempts ended", leading.ended);
        to.register("stale_rejections", "Messages refused as outdated", leading.stale);
    }
}
