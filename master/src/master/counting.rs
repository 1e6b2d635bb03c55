//! Counts what every master counts.

use raft_store::{Leadership, Loops, Node};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Metrics, Recorder};

/// Counts what this master commits, what is applied while it leads, and who leads.
pub(super) fn start_counting(node: &Node, metrics: &Metrics, loops: &Loops) {
    let of_commits = metrics.clone();
    node.observe_commits(Arc::new(move |took| of_commits.on_committed(took)));
    let recorder = Recorder::new(node.clone(), metrics.clone());
    loops.spawn("recorder", |stop| recorder.run(stop));
    loops.spawn("count of leaders", |stop| count_leaders(node.clone(), metrics.clone(), stop));
}

/// Counts how often this master sees leadership pass to another.
async fn count_leaders(node: Node, metrics: Metrics, stop: CancellationToken) {
    let mut leadership = node.leadership();
    let mut last = None;
    loop {
        let seen = *leadership.borrow_and_update();
        let leader = match seen {
            Leadership::Leading { term } => Some((node.id(), term)),
            Leadership::Following { leader, term, .. } => Some((leader, term)),
            Leadership::Leaderless { .. } => None,
        };

        if leader.is_some() && leader != last {
            if last.is_some() {
                metrics.on_leader_changed();
            }
            last = leader;
        }

        tokio::select! {
            () = stop.cancelled() => return,
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}
