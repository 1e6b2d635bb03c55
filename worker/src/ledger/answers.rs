//! Inputs and answers of the ledger.

use cluster_state::{AttemptRef, Epoch, FinishedAttempt, MasterId, OnDisconnect, Resources, Term};

/// Bounds on the work that one worker takes on.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Resources that the attempts which run at the same time share.
    pub(crate) total: Resources,
    /// Maximum number of attempts that run or whose results wait for the leader.
    pub(crate) attempts_max: usize,
    /// Bytes of results that may wait for the leader: with more, nothing new begins.
    pub(crate) unconfirmed_bytes_max: usize,
}

/// An order to run an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Treatment of the attempt when no leader is reached for the heartbeat timeout.
    pub(crate) on_disconnect: OnDisconnect,
    /// Resources that it occupies, if the leader has said so.
    pub(crate) room: Option<Resources>,
    pub(crate) begin: Begin,
}

/// The moment at which an attempt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Begin {
    /// The leader knows that there is room for it.
    AtOnce,
    /// It waits until there is room for it.
    Ahead,
}

/// An action on one attempt, for the caller to perform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask its process to end.
    Stop(AttemptRef),
    /// End its process now.
    Kill(AttemptRef),
    /// Forget how to start it: it has not begun, and never will.
    Drop(AttemptRef),
    /// Remove its result from the spool.
    Forget(AttemptRef),
}

/// Answer to an order to run an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// The attempt is new: start it.
    Start,
    /// The attempt is new, and begins when there is room for it.
    Wait,
    /// The attempt runs or ran already; its end is or will be reported.
    Known,
    /// The attempt must not run any more, and will be reported as lost.
    Lost,
    /// There is no room for the attempt.
    NoRoom,
}

/// Answer to an order to cancel an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The attempt runs: stop it.
    Stop,
    /// The attempt waited and never begins, which is reported.
    Drop,
    /// The attempt has ended already, which is or will be reported.
    Over,
    /// The attempt is unknown, and from now on it will not start.
    Unknown,
}

/// A registration that the leader accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) epoch: Epoch,
    pub(crate) leader: MasterId,
    pub(crate) term: Term,
}

/// Attempts to name in a registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Attempts whose results are yet to come: they run, or their results are not on disk yet or
    /// not among `finished`.
    pub(crate) running: Vec<AttemptRef>,
    /// Results that no leader has confirmed, as many as one message holds.
    pub(crate) finished: Vec<FinishedAttempt>,
}

/// Reason that attempts cannot be taken on now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssignRefusal {
    /// A registration is in progress. An attempt must not begin between its snapshot and its
    /// answer: the leader would find it missing from the snapshot and assign its task to another
    /// worker.
    #[error("no registration is in force")]
    NoSession,
    /// The attempts belong to another registration.
    #[error("the registration is {ours}, not {theirs}")]
    OtherEpoch {
        /// Epoch in force.
        ours: Epoch,
        /// Epoch that the caller named.
        theirs: Epoch,
    },
    /// The worker is shutting down.
    #[error("the worker is shutting down")]
    Closing,
    /// Too many results wait for a leader to confirm them.
    #[error("spool-full: too many results wait to be confirmed")]
    SpoolFull,
}

/// The registration was overtaken by a lapse of the lease or by another registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the registration was overtaken")]
pub(crate) struct Overtaken;
