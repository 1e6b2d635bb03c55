//! Orders that workers do not carry out, as a reason that users see on their tasks.

use std::collections::BTreeMap;

use cluster_state::{Epoch, Task, TaskState, Timestamp, Trouble, WorkerId};
use parking_lot::{Mutex, MutexGuard};

use crate::leader::placement::PendingReason;

/// The workers that did not carry out their latest orders.
#[derive(Debug, Default)]
pub(crate) struct Undelivered(Mutex<BTreeMap<WorkerId, Setback>>);

/// A setback in the calls to a worker under one registration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setback {
    epoch: Epoch,
    kind: SetbackKind,
    trouble: Trouble,
}

/// Reason why orders are not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetbackKind {
    /// They do not reach the worker.
    Unreachable,
    /// The worker refuses them.
    Refused,
    /// The worker has no room for some of the attempts.
    NoRoom,
}

impl Undelivered {
    /// Notes a setback. It counts from the first of consecutive setbacks of that kind.
    pub(crate) fn on_setback(
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

    /// Forgets the setback of a worker that carries out its orders.
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
            | TaskState::Cancelled
            | TaskState::Blocked
            | TaskState::Aborted => return None,
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
