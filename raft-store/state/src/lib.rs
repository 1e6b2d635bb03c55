//! The replicated state of the cluster, and the pure function that every master applies to it.
//!
//! **Invariant:** nothing here reads a clock, does I/O, draws randomness or depends on hash order,
//! so that all masters reach the same state, replies and rejections from the same log.

mod apply;
mod change;
mod command;
mod constraint;
mod ids;
mod index;
mod invariants;
mod leader;
mod limits;
mod reply;
mod resources;
mod state;
mod task;
mod time;
mod worker;

pub use change::Change;
pub use command::{
    Assignment, AttemptRef, Command, ConnectWorker, DisconnectWorkers, FinishAttempts,
    FinishedAttempt, IdempotencyKey, Proposal, RegisterWorker, RequeueAttempts, StartAttempts,
    SubmitTasks, Tick,
};
pub use constraint::{Constraint, ConstraintOp};
pub use ids::{
    AttemptNumber, ClusterId, Epoch, Incarnation, InvalidId, LogIndex, MasterId, TaskId, Term,
    WorkerId,
};
pub use index::{ClassQueue, WorkerLoad};
pub use invariants::Violation;
pub use leader::LeaderRecord;
pub use limits::Limits;
pub use reply::{AttemptVerdict, FinishVerdict, IdempotencyRecord, Rejection, Reply, Resume};
pub use resources::{Resources, Shortage};
pub use state::{Applied, Meta, State};
pub use task::{
    Attempt, AttemptOutcome, Class, LossReason, StopReason, Task, TaskReason, TaskSpec, TaskState,
};
pub use time::Timestamp;
pub use worker::{DisconnectReason, Specs, Worker, WorkerReason, WorkerStatus};
