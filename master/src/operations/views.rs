//! Views of tasks, workers and masters: records with what this master knows beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    ClusterId, JoinToken, Level, MassLoss, MasterId, Resources, Task, TaskId, TaskSpec,
    TaskStateKind, Term, Timestamp, TokenId, Worker, WorkerId, WorkerState,
};
use raft_store::{Member, PeerStatus};

use crate::peer::forwarded;

/// A view of this master; or that of the leader, which knows more, as it came.
#[derive(Debug)]
pub(crate) enum View<Own, Leaders> {
    Own(Own),
    Leaders(Leaders),
}

/// A task that was accepted or cancelled, and its state after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskStatus {
    pub(crate) id: TaskId,
    pub(crate) state: TaskStateKind,
}

/// A task.
#[derive(Clone, Debug)]
pub(crate) struct TaskView {
    pub(crate) task: Arc<Task>,
    /// Reason why it is not placed yet, or why its worker does not carry out an order.
    pub(crate) pending_reason: Option<String>,
}

/// A task as one caller may see it.
#[derive(Debug)]
pub(crate) struct ShownTask {
    pub(crate) view: View<TaskView, forwarded::Task>,
    /// Its description, if the caller may see the environment in it.
    pub(crate) environment: Option<Arc<TaskSpec>>,
    /// The blocked tasks that wait for it.
    pub(crate) dependents: Dependents,
}

/// Blocked tasks that wait for another one.
#[derive(Debug, Default)]
pub(crate) struct Dependents {
    pub(crate) count: u32,
    /// Some of them.
    pub(crate) first: Vec<TaskId>,
}

/// A page of tasks, newest first.
#[derive(Debug)]
pub(crate) struct TaskPage {
    pub(crate) tasks: Vec<TaskView>,
    /// Position at which the next page begins; none on the last.
    pub(crate) next: Option<TaskId>,
}

/// A worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerView {
    pub(crate) worker: Arc<Worker>,
    /// Sum over its live attempts.
    pub(crate) allocated: Resources,
    /// Number of its live attempts.
    pub(crate) running: usize,
    /// Last heartbeat that this master has heard.
    pub(crate) last_heartbeat: Option<Timestamp>,
    /// End of its certificate, as that heartbeat said.
    pub(crate) certificate_end: Option<Timestamp>,
}

/// A page of workers by name.
#[derive(Debug)]
pub(crate) struct WorkerPage {
    /// Pieces of the page, in order: one of each call to the leader.
    pub(crate) pieces: Vec<View<Vec<WorkerView>, Vec<forwarded::Worker>>>,
    /// Position at which the next page begins; none on the last.
    pub(crate) next: Option<WorkerId>,
}

impl WorkerPage {
    /// Returns the number of workers.
    pub(crate) fn len(&self) -> usize {
        let count = |piece: &View<Vec<_>, Vec<_>>| match piece {
            View::Own(workers) => workers.len(),
            View::Leaders(workers) => workers.len(),
        };
        self.pieces.iter().map(count).sum()
    }
}

/// A token that was created, with its secret.
#[derive(Debug)]
pub(crate) struct CreatedToken {
    pub(crate) id: TokenId,
    pub(crate) secret: String,
    /// SHA-256 of the root, in hexadecimal digits, where the cluster issues certificates.
    pub(crate) root: Option<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// All tokens, and the time by which they have expired or not.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<JoinToken>,
    pub(crate) now: Timestamp,
}

/// The leader, as far as this master knows.
#[derive(Debug)]
pub(crate) struct LeaderView {
    pub(crate) leader: Option<MasterId>,
    /// `host:port` of its gRPC server.
    pub(crate) address: Option<String>,
    /// Newest term that this master has seen.
    pub(crate) term: Term,
    /// `host:port` of its HTTP server; none if it did not answer.
    pub(crate) http_address: Option<String>,
}

/// The cluster, as this master sees it.
#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) name: String,
    pub(crate) cluster: Option<ClusterId>,
    /// This master.
    pub(crate) node: MasterId,
    pub(crate) leader: Option<MasterId>,
    pub(crate) term: Term,
    /// A sentence each.
    pub(crate) problems: Vec<String>,
    pub(crate) members: Vec<MemberView>,
    pub(crate) workers: BTreeMap<WorkerState, u64>,
    pub(crate) tasks: BTreeMap<TaskStateKind, u64>,
    pub(crate) mass_loss: Option<MassLoss>,
    pub(crate) level: Level,
    /// Change of the masters that the leader makes next, or waits to make.
    pub(crate) autopilot: Option<String>,
    /// Number of orphaned results.
    pub(crate) orphans: usize,
}

/// One master.
#[derive(Debug)]
pub(crate) struct MemberView {
    pub(crate) member: Member,
    /// Its own account of itself; none if it cannot be reached.
    pub(crate) status: Option<PeerStatus>,
    /// Number of entries by which its log is behind the leader's.
    pub(crate) lag: Option<u64>,
    /// Milliseconds by which its clock is ahead of the median.
    pub(crate) clock_offset_ms: Option<i64>,
}

impl MemberView {
    /// Returns the bytes that are free on its disk, if it is short of room.
    pub(crate) fn scarce_bytes(&self) -> Option<u64> {
        let status = self.status.as_ref()?;
        status.free_bytes.filter(|free| *free < status.disk_free_min)
    }
}
