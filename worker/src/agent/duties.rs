//! Runs the background jobs of a worker: the sweep of old logs, and the watch over fitness, strays
//! and disks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::attempts::Attempts;
use crate::devices::Devices;
use crate::fitness::Watch;
use crate::lease::{Deadline, Lease};
use crate::logs::Sweeper;
use crate::processes::Children;
use crate::session::Health;

/// Interval between sweeps of old logs.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// Interval between searches for processes that have escaped from ended attempts.
const STRAYS_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between looks at devices: one that fails is of no use to an attempt for longer.
const DEVICES_INTERVAL: Duration = Duration::from_secs(10);
/// Interval between checks of whether the spool is full.
const SPOOL_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two rounds of reaping: orphans that have ended do no harm in the meantime.
const REAP_PAUSE: Duration = Duration::from_millis(200);

/// The background jobs, and the parts of the worker that they look after.
pub(super) struct Duties {
    pub(super) attempts: Attempts,
    pub(super) lease: Arc<Lease>,
    pub(super) sweeper: Sweeper,
    pub(super) health: Health,
    pub(super) watch: Watch,
    /// Reason that the machine is unfit, published by the fitness watch.
    pub(super) unfit: watch::Receiver<Option<String>>,
    pub(super) devices: Devices,
}

impl Duties {
    /// Runs the jobs until the worker stops.
    pub(super) fn spawn(self, tasks: &TaskTracker, stop: &CancellationToken) {
        for deadline in [Deadline::Disconnect, Deadline::Lease] {
            let lease = Arc::clone(&self.lease);
            tasks.spawn(fence(self.attempts.clone(), lease, deadline, stop.clone()));
        }
        tasks.spawn(sweep_logs(self.sweeper, stop.clone()));
        tasks.spawn(kill_strays(self.attempts.clone(), stop.clone()));
        tasks.spawn(log_spool(self.attempts, stop.clone()));
        tasks.spawn(publish_health(self.health, self.unfit, stop.clone()));
        tasks.spawn(self.watch.run(stop.clone()));
        if !self.devices.are_none() {
            tasks.spawn(look_at_devices(self.devices, stop.clone()));
        }
    }
}

/// Removes expired remains of ended attempts.
async fn sweep_logs(mut sweeper: Sweeper, stop: CancellationToken) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let sweep = tokio::task::spawn_blocking(move || {
            sweeper.sweep();
            sweeper
        });
        match sweep.await {
            Ok(back) => sweeper = back,
            Err(error) => {
                warn!(%error, "stopped looking for old logs");
                return;
            }
        }
    }
}

/// Reaps orphans that have ended, so that their process ids can be reused.
pub(super) async fn reap_orphans(
    children: Arc<Children>,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    let reaping = async {
        while ended.recv().await.is_some() {
            let children = Arc::clone(&children);
            blocking(move || children.reap()).await;
            tokio::time::sleep(REAP_PAUSE).await;
        }
    };
    tokio::select! {
        () = reaping => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// Kills processes that escaped while their attempt ended.
async fn kill_strays(attempts: Attempts, stop: CancellationToken) {
    let mut ticks = interval(STRAYS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let attempts = attempts.clone();
        blocking(move || attempts.kill_strays()).await;
    }
}

/// Finds out which devices fail.
async fn look_at_devices(devices: Devices, stop: CancellationToken) {
    let mut ticks = interval(DEVICES_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = devices.look_aside() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Tells health checks whether the machine can run tasks.
async fn publish_health(
    health: Health,
    mut unfit: watch::Receiver<Option<String>>,
    stop: CancellationToken,
) {
    loop {
        let is_fit = unfit.borrow_and_update().is_none();
        health.set_fit(is_fit).await;
        tokio::select! {
            changed = unfit.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Logs when the spool has become full and when there is room again.
async fn log_spool(attempts: Attempts, stop: CancellationToken) {
    let mut ticks = interval(SPOOL_INTERVAL);
    let mut was_full = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let is_full = attempts.is_spool_full();
        match (was_full, is_full) {
            (false, true) => warn!("spool-full: takes no tasks until results are confirmed"),
            (true, false) => info!("results are confirmed, takes tasks again"),
            (true, true) | (false, false) => {}
        }
        was_full = is_full;
    }
}

pub(super) async fn blocking(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        warn!(%error, "a duty of the worker failed");
    }
}

async fn fence(attempts: Attempts, lease: Arc<Lease>, deadline: Deadline, stop: CancellationToken) {
    let fencing = async {
        loop {
            lease.passed(deadline).await;
            attempts.fence();
            lease.renewed(deadline).await;
        }
    };
    tokio::select! {
        () = fencing => {}
        () = stop.cancelled() => {}
    }
}
