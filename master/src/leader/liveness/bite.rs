//! How much of what is due one command takes on.

use cluster_state::{Epoch, OnDisconnect, RequeueScope, State, WorkerId, WorkerLoad};

/// As many of the due workers as one command may take on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bite {
    /// Those with attempts to be given away.
    pub(super) holding: Vec<(WorkerId, Epoch)>,
    /// Those without.
    pub(super) empty: Vec<(WorkerId, Epoch)>,
    /// Whether some with attempts were left out.
    pub(super) is_cut: bool,
}

impl Bite {
    /// Takes workers until they hold `most` attempts together.
    pub(super) fn of(
        due: Vec<(WorkerId, Epoch)>,
        state: &State,
        scope: RequeueScope,
        most: u32,
    ) -> Self {
        let mut bite = Self { holding: Vec::new(), empty: Vec::new(), is_cut: false };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut taken = 0_usize;
        for (worker, epoch) in due {
            let held = state.load(&worker).map_or(0, |load| held(load, state, scope));
            if held == 0 {
                bite.empty.push((worker, epoch));
            } else if taken < most {
                taken = taken.saturating_add(held);
                bite.holding.push((worker, epoch));
            } else {
                bite.is_cut = true;
            }
        }
        bite
    }
}

fn held(load: &WorkerLoad, state: &State, scope: RequeueScope) -> usize {
    match scope {
        RequeueScope::All => load.attempts.len(),
        RequeueScope::OnDisconnect => {
            let tasks = load.attempts.iter().filter_map(|task| state.task(*task));
            tasks.filter(|task| task.spec.on_disconnect == OnDisconnect::Requeue).count()
        }
    }
}
