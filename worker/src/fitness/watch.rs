//! Watches whether this machine can run tasks, and publishes changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Advice, Fitness, Probe, Verdict};
use crate::disk::{Disk, Room};

/// Interval between trials of an unfit machine.
const TRIAL_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between checks of the disk.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// The watch over the machine's fitness.
#[derive(Debug)]
pub(crate) struct Watch {
    fitness: Fitness,
    probe: Arc<Probe>,
    starts: mpsc::UnboundedReceiver<Verdict>,
    disk: Arc<Disk>,
    unfit: watch::Sender<Option<String>>,
}

/// Change of the machine's fitness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It has become unfit.
    Unfit,
    /// Any other change, or none.
    Other,
}

/// Dependencies of a watch.
#[derive(Debug)]
pub(crate) struct WatchParts {
    /// Reason that the machine is unfit from the beginning, if it is.
    pub(crate) unfit: Option<String>,
    /// Trial of the machine.
    pub(crate) probe: Probe,
    /// Verdicts from starts of attempts. The queue never holds more than there are attempts, and
    /// those are limited.
    pub(crate) starts: mpsc::UnboundedReceiver<Verdict>,
    /// Disk that holds the files of attempts.
    pub(crate) disk: Arc<Disk>,
}

impl Watch {
    /// Creates a watch, and the receiver of the reason that the machine is unfit.
    #[must_use]
    pub(crate) fn new(parts: WatchParts) -> (Self, watch::Receiver<Option<String>>) {
        let WatchParts { unfit, probe, starts, disk } = parts;
        let (sender, told) = watch::channel(unfit.clone());
        let fitness = Fitness::new(unfit);
        (Self { fitness, probe: Arc::new(probe), starts, disk, unfit: sender }, told)
    }

    /// Watches until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut trials = tokio::time::interval(TRIAL_INTERVAL);
        trials.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = tokio::time::interval(ROOM_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            let advice = tokio::select! {
                () = stop.cancelled() => return,
                Some(verdict) = self.starts.recv() => self.fitness.on_start(verdict),
                _ = trials.tick(), if self.fitness.unfit().is_some() => Advice::Try,
                _ = looks.tick() => {
                    let disk = Arc::clone(&self.disk);
                    let looked = tokio::task::spawn_blocking(move || disk.room()).await;
                    self.fitness.on_room(looked.unwrap_or(Room::Low));
                    Advice::GoOn
                }
            };

            if advice == Advice::Try {
                let tried = self.try_machine().await;
                self.fitness.on_tried(tried);
            }
            if self.publish() == Turn::Unfit {
                // The cause may have been momentary: the machine rests for a whole interval.
                trials.reset();
            }
        }
    }

    async fn try_machine(&self) -> Result<(), String> {
        let probe = Arc::clone(&self.probe);
        blocking(move || probe.try_disk()).await?;
        self.probe.try_process().await
    }

    fn publish(&self) -> Turn {
        let now = self.fitness.unfit();
        let mut turn = Turn::Other;
        self.unfit.send_if_modified(|told| {
            // Figures in a reason change; the machine is still unfit.
            let has_turned = told.is_some() != now.is_some();
            if has_turned {
                match now {
                    Some(reason) => {
                        turn = Turn::Unfit;
                        warn!(reason, "unfit: takes no tasks until the problem is solved");
                    }
                    None => info!("fit again"),
                }
            }
            let is_news = told.as_deref() != now;
            *told = now.map(str::to_owned);
            is_news
        });
        turn
    }
}

async fn blocking(
    trial: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    tokio::task::spawn_blocking(trial).await.unwrap_or_else(|join| Err(join.to_string()))
}
