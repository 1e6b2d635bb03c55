//! Bounds the attempts that one command requeues.

use cluster_state::{Epoch, OnDisconnect, RequeueScope, State, WorkerId, WorkerLoad};

/// The due workers that one command handles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequeueBatch {
    /// Workers with attempts to requeue.
    pub(super) holding: Vec<(WorkerId, Epoch)>,
    /// Workers without any.
    pub(super) empty: Vec<(WorkerId, Epoch)>,
    /// True if workers with attempts were left out.
    pub(super) is_cut: bool,
}

impl RequeueBatch {
    /// Takes workers until they hold `most` attempts in total.
    pub(super) fn of(
        due: Vec<(WorkerId, Epoch)>,
        state: &State,
        scope: RequeueScope,
        most: u32,
    ) -> Self {
        let mut batch = Self { holding: Vec::new(), empty: Vec::new(), is_cut: false };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut taken = 0_usize;

        for (worker, epoch) in due {
            let held = state.load(&worker).map_or(0, |load| held(load, state, scope));
            if held == 0 {
                batch.empty.push((worker, epoch));
            } else if taken < most {
                taken = taken.saturating_add(held);
                batch.holding.push((worker, epoch));
            } else {
                batch.is_cut = true;
            }
        }
        batch
    }
}

/// Counts the attempts on a worker that are in the scope.
fn held(load: &WorkerLoad, state: &State, scope: RequeueScope) -> usize {
    match scope {
        RequeueScope::All => load.attempts.len(),
        RequeueScope::OnDisconnect => {
            let tasks = load.attempts.iter().filter_map(|task| state.task(*task));
            tasks.filter(|task| task.spec.on_disconnect == OnDisconnect::Requeue).count()
        }
    }
}
