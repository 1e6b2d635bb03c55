//! Detects a mass loss: too many workers fell silent at once, so that the cause may lie with the
//! masters. Then requeueing is slowed down. Pure: time comes in as an argument.
//!
//! The alarm is replicated, so it outlives the leader that raised it. The losses that lead to it
//! are not: a new leader gives every worker one full heartbeat timeout, and counts those that
//! exceed it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{
    DisconnectReason, Epoch, LeaseTimes, MassLoss, State, Timestamp, Worker, WorkerId, WorkerReason,
};
use tokio::time::Instant;

/// Workers that may fall silent at once without an alarm, however few there are.
const LOST_WITHOUT_ALARM_MAX: usize = 3;

/// The workers that fell silent within the window.
#[derive(Debug)]
pub(super) struct RecentLosses {
    window: Duration,
    silent_since: BTreeMap<WorkerId, Instant>,
}

/// Extent of the loss within one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Workers that fell silent and have not come back.
    pub(crate) lost: usize,
    /// Workers that were active before.
    pub(crate) of: usize,
}

impl Extent {
    /// Tells whether more than three workers were lost, and more than half of the active ones.
    #[must_use]
    pub(super) const fn is_mass_loss(self) -> bool {
        self.lost > LOST_WITHOUT_ALARM_MAX && self.lost > self.of / 2
    }
}

impl RecentLosses {
    /// Remembers each loss for the length of `window`.
    #[must_use]
    pub(super) const fn new(window: Duration) -> Self {
        Self { window, silent_since: BTreeMap::new() }
    }

    /// Remembers losses for another time from now on.
    pub(super) const fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Notes active workers that are silent by `now`. Returns the loss within the window that ends
    /// there. A worker that is noted twice counts once.
    pub(super) fn on_silent(
        &mut self,
        silent: &[(WorkerId, Epoch)],
        state: &State,
        now: Instant,
    ) -> Extent {
        let is_away = |id: &WorkerId| state.worker(id).is_some_and(|worker| !worker.is_active());
        let window = self.window;
        self.silent_since.retain(|worker, since| {
            now.saturating_duration_since(*since) < window && is_away(worker)
        });
        let earlier = self.silent_since.len();
        self.silent_since.extend(silent.iter().map(|(worker, _)| (worker.clone(), now)));
        let active = state.workers().len().saturating_sub(state.inactive_count());
        Extent { lost: self.silent_since.len(), of: active.saturating_add(earlier) }
    }
}

/// Tells whether the alarm is over, which it is when
///
/// - at most half of the lost workers are still away: they are coming back, and the others are a
///   loss like any other; or
/// - a lease with its margin has passed since the alarm, and the workers that are away hold no
///   attempts any more: all of them were requeued.
///
/// An unregistered worker is not away. A worker that was silent long before the alarm was not lost
/// with the others. `times` are the times that are granted now.
#[must_use]
pub(super) fn is_over(alarm: &MassLoss, state: &State, times: LeaseTimes, now: Timestamp) -> bool {
    let granted = |worker: &Worker| worker.granted.unwrap_or(times);
    let was_lost = |worker: &Worker| {
        worker.reason == WorkerReason::Disconnected(DisconnectReason::HeartbeatTimeout)
            && worker.changed_at.after(granted(worker).heartbeat_timeout) >= alarm.since
    };
    let mut away = 0_u32;
    let mut is_anything_left = false;
    for worker in state.inactive_workers().filter(|worker| was_lost(worker)) {
        away = away.saturating_add(1);
        is_anything_left |= state.load(&worker.id).is_some();
    }
    let are_back = away <= alarm.lost / 2;
    let is_past = now >= alarm.since.after(times.requeue_after());
    are_back || (is_past && !is_anything_left)
}

/// Limits the attempts requeued in each second.
#[derive(Debug)]
pub(super) struct Brake {
    per_second: u32,
    /// Beginning of the current second, and the attempts that passed in it.
    second: Option<(Instant, u32)>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Brake {
    /// Returns a brake that has let nothing pass.
    #[must_use]
    pub(super) const fn new(per_second: u32) -> Self {
        Self { per_second, second: None }
    }

    /// Lets so many pass in each second from now on.
    pub(super) const fn set_rate(&mut self, per_second: u32) {
        self.per_second = per_second;
    }

    /// Returns the number of attempts that may pass now.
    #[must_use]
    pub(super) fn allowance(&self, now: Instant) -> u32 {
        let passed = self.second_under_way(now).map_or(0, |(_, passed)| passed);
        self.per_second.saturating_sub(passed)
    }

    /// Counts attempts that have passed.
    pub(super) fn on_passed(&mut self, count: u32, now: Instant) {
        let (began_at, passed) = self.second_under_way(now).unwrap_or((now, 0));
        self.second = Some((began_at, passed.saturating_add(count)));
    }

    /// Returns the time at which the next may pass.
    #[must_use]
    pub(super) fn opens_at(&self, now: Instant) -> Instant {
        match self.second_under_way(now) {
            Some((began_at, passed)) if passed >= self.per_second => began_at + SECOND,
            Some(_) | None => now,
        }
    }

    fn second_under_way(&self, now: Instant) -> Option<(Instant, u32)> {
        self.second.filter(|(began_at, _)| now.saturating_duration_since(*began_at) < SECOND)
    }
}

#[cfg(test)]
mod tests;
