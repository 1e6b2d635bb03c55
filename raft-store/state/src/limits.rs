//! Bounds of the replicated state. They are the same on every master, or verdicts would differ.

use std::time::Duration;

/// Bounds that `apply` itself enforces.
#[derive(Debug, Clone, Copy)]
pub struct Limits;

impl Limits {
    /// Most tasks in one submission, which is accepted as a whole or not at all.
    pub const TASKS_PER_SUBMIT_MAX: usize = 10_000;
    /// Most live tasks. Ten million at under 1 KiB each stay below 10 GiB of memory.
    pub const LIVE_TASKS_MAX: usize = 10_000_000;
    /// Bytes of memory that live tasks and idempotency keys may take, by the account below, unless
    /// the operator says otherwise.
    pub const LIVE_BYTES_DEFAULT: u64 = 4 << 30;
    /// Memory of a live task beside its texts: its records and its places in the indexes. Rounded
    /// up from 805 bytes measured for one million tasks of 256 bytes.
    pub const TASK_BYTES: u64 = 640;
    /// Memory of an attempt of a live task.
    pub const ATTEMPT_BYTES: u64 = 128;
    /// Memory of an idempotency key beside its text.
    pub const KEY_BYTES: u64 = 192;
    /// Memory of each text beside its bytes: pointer, length and the allocator's rounding.
    pub const TEXT_BYTES: u64 = 32;
    /// Most registered workers: ten times the ten thousand that we promise to serve.
    pub const WORKERS_MAX: usize = 100_000;
    /// Most labels that operators may give to one worker: as many as one request may set.
    pub const WORKER_LABELS_MAX: usize = 64;
    /// Bytes that their names and values may have together: a full page of workers stays readable.
    pub const WORKER_LABELS_BYTES_MAX: usize = 16 << 10;
    /// Lines kept of each worker's history.
    pub const WORKER_EVENTS_KEPT_MAX: usize = 32;
    /// Most join tokens: they are created by hand.
    pub const TOKENS_MAX: usize = 1_000;
    /// Longest time that a drain or a token may be given.
    pub const OPERATOR_TIMEOUT_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    /// Most idempotency keys held at once: a day at 100 keyed submissions a second.
    pub const IDEMPOTENCY_KEYS_MAX: usize = 10_000_000;
    /// Time for which a key is remembered.
    pub const IDEMPOTENCY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
    /// Highest priority.
    pub const PRIORITY_MAX: u8 = 100;
    /// Most attempts that a submitter may ask for.
    pub const ATTEMPTS_MAX: u32 = 100;
    /// A task on which that many workers were lost is not given to another: it may be the cause.
    pub const LOSSES_MAX: u32 = 5;
    /// Tasks in a row that failed to start on a worker, and may start elsewhere, before it is
    /// suspended: one task's typing error is no evidence, five are few enough to lose.
    pub const FAILED_STARTS_MAX: usize = 5;
    /// First rest of a worker whose programs do not start: a burst is over by then.
    pub const SUSPENSION_MIN: Duration = Duration::from_secs(1);
    /// Longest rest of such a worker, after failed trials in a row.
    pub const SUSPENSION_MAX: Duration = Duration::from_secs(5 * 60);
    /// A program that does not start is reported within moments of its confirmation.
    pub const TRIAL_MIN: Duration = Duration::from_secs(3);
    /// Attempts kept in a task's record; older ones are dropped, their numbers are not reused.
    pub const ATTEMPTS_KEPT_MAX: usize = 32;
    /// Longest wait between two attempts.
    pub const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
    /// Timers that one `Tick` lets fire, so that no single entry stalls the others.
    pub const TIMERS_PER_TICK_MAX: usize = 10_000;
    /// Leader records kept.
    pub const LEADERS_KEPT_MAX: usize = 100;
    /// Finished tasks kept on disk, and for how long, unless the operator says otherwise.
    pub const RETAINED_TASKS: u64 = 2_000_000;
}
