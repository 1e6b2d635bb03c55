//! Ends all attempts at once, or those that do not wait: when the lease, the connection, the
//! registration or the worker itself ends.

use cluster_state::{Epoch, LossReason, OnDisconnect};

use super::live::Live;
use super::settled::Settlement;
use super::{Closing, Effect, Ledger, Overtaken, Registration};

impl Ledger {
    /// Kills all attempts, because the lease has lapsed: the leader may assign their tasks to other
    /// workers.
    pub(crate) fn on_lapsed(&mut self) -> Vec<Effect> {
        self.registration = Registration::None;
        let mut effects = self.give_all_back(LossReason::NotStarted);
        for (attempt, live) in &mut self.live {
            match live {
                Live::Running(_) => *live = Live::Fenced(LossReason::LeaseExpired),
                Live::Leaving(_) | Live::Abandoned(_) => {}
                Live::Waiting(_) | Live::Fenced(_) | Live::Storing => continue,
            }
            effects.push(Effect::Kill(*attempt));
        }
        effects
    }

    /// Kills attempts of tasks that asked not to wait, because no leader was reached for the
    /// heartbeat timeout: the leader may assign these tasks soon.
    pub(crate) fn on_disconnected(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for attempt in self.waiting() {
            if self.live.get(&attempt) == Some(&Live::Waiting(OnDisconnect::Requeue)) {
                effects.extend(self.give_back_one(attempt, LossReason::WorkerDisconnected));
            }
        }
        for (attempt, live) in &mut self.live {
            *live = match live {
                Live::Running(OnDisconnect::Requeue) => {
                    Live::Fenced(LossReason::WorkerDisconnected)
                }
                Live::Leaving(OnDisconnect::Requeue) => Live::Leaving(OnDisconnect::Keep),
                Live::Abandoned(OnDisconnect::Requeue) => Live::Abandoned(OnDisconnect::Keep),
                Live::Waiting(_)
                | Live::Running(_)
                | Live::Leaving(_)
                | Live::Abandoned(_)
                | Live::Fenced(_)
                | Live::Storing => continue,
            };
            effects.push(Effect::Kill(*attempt));
        }
        effects
    }

    /// Checks that a dismissal of that registration concerns this worker as it is now.
    pub(crate) fn may_dismiss(&self, epoch: Epoch) -> Result<(), Overtaken> {
        if epoch < self.latest_epoch { Err(Overtaken) } else { Ok(()) }
    }

    /// Stops all attempts, because the worker was unregistered: its tasks are queued again.
    pub(crate) fn on_dismissed(&mut self) -> Vec<Effect> {
        self.registration = Registration::None;
        let mut effects = self.forget_waiting();
        for (attempt, live) in &mut self.live {
            let (abandoned, effect) = match *live {
                Live::Running(on_disconnect) => {
                    (Live::Abandoned(on_disconnect), Some(Effect::Stop(*attempt)))
                }
                Live::Fenced(_) => {
                    (Live::Abandoned(OnDisconnect::Keep), Some(Effect::Kill(*attempt)))
                }
                // It has been told to stop.
                Live::Leaving(on_disconnect) => (Live::Abandoned(on_disconnect), None),
                Live::Waiting(_) | Live::Storing | Live::Abandoned(_) => continue,
            };
            *live = abandoned;
            effects.extend(effect);
        }
        effects
    }

    /// Reports all attempts that wait as lost: they have not begun, and never will.
    pub(crate) fn give_all_back(&mut self, reason: LossReason) -> Vec<Effect> {
        let waiting = self.waiting().into_iter();
        waiting.filter_map(|attempt| self.give_back_one(attempt, reason)).collect()
    }

    /// Forgets the attempts that wait: nobody wants to hear of them.
    fn forget_waiting(&mut self) -> Vec<Effect> {
        let waiting = self.waiting();
        for &attempt in &waiting {
            self.live.remove(&attempt);
            self.ahead.remove(attempt);
            self.settled.put(attempt, Settlement::Stopped);
        }
        waiting.into_iter().map(Effect::Drop).collect()
    }

    /// Stops all attempts, because the worker shuts down. They stay in snapshots until they have
    /// ended, so that no other worker runs their tasks in the meantime.
    pub(crate) fn on_closing(&mut self) -> Vec<Effect> {
        self.closing = Closing::Yes;
        let mut effects = self.give_all_back(LossReason::NotStarted);
        for (attempt, live) in &mut self.live {
            if let Live::Running(on_disconnect) = *live {
                *live = Live::Leaving(on_disconnect);
                effects.push(Effect::Stop(*attempt));
            }
        }
        effects
    }
}
