//! Orders that workers do not carry out, for those who look at their tasks. Volatile, as are the calls.

use std::collections::BTreeMap;

use cluster_state::{Epoch, Task, TaskState, Timestamp, Trouble, WorkerId};
use parking_lot::{Mutex, MutexGuard};

use super::placement::PendingReason;

/// The workers whose last call did not achieve what it was to.
#[derive(Debug, Default)]
pub(crate) struct Undelivered(Mutex<BTreeMap<WorkerId, Setback>>);

/// The trouble with the calls to a worker under one registration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setback {
    epoch: Epoch,
    kind: SetbackKind,
    trouble: Trouble,
}

/// The fate of orders that are not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetbackKind {
    /// They do not arrive.
    Unreachable,
    /// The worker refuses them.
    Refused,
    /// The worker leaves out what it has no room for.
    NoRoom,
}

impl Undelivered {
    /// Notes what a call met with. It counts from when calls began to meet with that.
    pub(crate) fn note(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        kind: SetbackKind,
        detail: String,
        now: Timestamp,
    ) {
        let mut setbacks = self.setbacks();
        let before = setbacks.get(worker).filter(|one| (one.epoch, one.kind) == (epoch, kind));
        let since = before.map_or(now, |one| one.trouble.since);
        let setback = Setback { epoch, kind, trouble: Trouble { detail, since } };
        setbacks.insert(worker.clone(), setback);
    }

    /// The worker carries out its orders.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.setbacks().remove(worker);
    }

    /// Returns why the orders about a placed task are not carried out.
    #[must_use]
    pub(crate) fn reason(&self, task: &Task) -> Option<PendingReason> {
        let attempt = task.live_attempt()?;
        let is_told_to_stop = match task.state {
            TaskState::Assigned => attempt.stop.is_some(),
            TaskState::Cancelling => true,
            TaskState::Scheduled { .. }
            | TaskState::Queued
            | TaskState::Running
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled => return None,
        };

        let setbacks = self.setbacks();
        let setback = setbacks.get(&attempt.worker).filter(|one| one.epoch == attempt.epoch)?;
        let (worker, trouble) = (attempt.worker.clone(), setback.trouble.clone());
        match setback.kind {
            SetbackKind::Unreachable => Some(PendingReason::Untold { worker, trouble }),
            SetbackKind::Refused => Some(PendingReason::Refused { worker, trouble }),
            // To stop something takes no room.
            SetbackKind::NoRoom if is_told_to_stop => None,
            SetbackKind::NoRoom => Some(PendingReason::Refused { worker, trouble }),
        }
    }

    fn setbacks(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Setback>> {
        self.0.lock()
    }
}
