//! Bounds of the replicated state. They are the same on every master, or verdicts would differ.

use std::time::Duration;

use crate::Level;

/// Bounds that `apply` itself enforces in a cluster of one level. A release that changes one of them
/// does so for a new level, so that masters of two releases reach the same verdicts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most tasks in one submission, which is accepted as a whole or not at all.
    pub tasks_per_submit_max: usize,
    /// Most live tasks. Ten million at under 1 KiB each stay below 10 GiB of memory.
    pub live_tasks_max: usize,
    /// Most registered workers: ten times the ten thousand that we promise to serve.
    pub workers_max: usize,
    /// Most labels that operators may give to one worker: as many as one request may set.
    pub worker_labels_max: usize,
    /// Bytes that their names and values may have together: a full page of workers stays readable.
    pub worker_labels_bytes_max: usize,
    /// Lines kept of each worker's history.
    pub worker_events_kept_max: usize,
    /// Most join tokens: they are created by hand.
    pub tokens_max: usize,
    /// Most tokens of users: a thousand users with one for each of their machines.
    pub user_tokens_max: usize,
    /// Most holders of certificates on record: as many as workers, and as many again that have left.
    pub holders_max: usize,
    /// Certificates of one holder that are remembered: the newest and those before it, which are
    /// shown until the newest is in use.
    pub certificates_kept_max: usize,
    /// Revoked certificates of one holder that are remembered by their numbers.
    pub revoked_kept_max: usize,
    /// Roots that count no longer: one for each change of the authority, until it ends.
    pub dropped_roots_max: usize,
    /// Time for which a revocation is remembered: an issuer of `clusterctl tls init` lasts so long,
    /// and no certificate outlives its issuer.
    pub revocation_retention: Duration,
    /// Bytes of the certificates of an issuer and of what is trusted: a few of each.
    pub issuer_bytes_max: usize,
    /// Longest time that a drain or a token may be given.
    pub operator_timeout_max: Duration,
    /// Most idempotency keys held at once: a day at 100 keyed submissions a second.
    pub idempotency_keys_max: usize,
    /// Time for which a key is remembered.
    pub idempotency_retention: Duration,
    /// Highest priority.
    pub priority_max: u8,
    /// Most attempts that a submitter may ask for.
    pub attempts_max: u32,
    /// Different workers lost under a task after which it is not given to another: it may be the cause.
    pub losses_max: u32,
    /// Losses after which it is not, however few workers there are.
    pub losses_in_all_max: u32,
    /// Tasks in a row that failed to start on a worker, and may start elsewhere, before it is
    /// suspended: one task's typing error is no evidence, five are few enough to lose.
    pub failed_starts_max: usize,
    /// First rest of a worker whose programs do not start: a burst is over by then.
    pub suspension_min: Duration,
    /// Longest rest, after one failed trial upon another.
    pub suspension_max: Duration,
    /// Time within which a program that does not start is reported after its confirmation.
    pub trial_min: Duration,
    /// Most attempts that may wait at one worker for room: a tenth of a second at 2,500 a second.
    pub attempts_ahead_max: usize,
    /// Attempts kept in a task's record; older ones are dropped, their numbers are not reused.
    pub attempts_kept_max: usize,
    /// Longest wait between two attempts of a task that does not say otherwise.
    pub retry_backoff_max: Duration,
    /// Longest wait that a task may ask for.
    pub task_backoff_max: Duration,
    /// Largest factor by which waits may grow, in thousandths.
    pub retry_factor_milli_max: u32,
    /// Most ranges of exit codes after which a task may ask not to be tried again.
    pub final_codes_max: usize,
    /// Longest time ahead for which a task may be submitted: later ones are typing errors.
    pub task_horizon: Duration,
    /// Most tasks that one task may wait for.
    pub dependencies_max: usize,
    /// Most dependencies of the tasks of one submission together: ten for each.
    pub dependencies_per_submit_max: usize,
    /// Blocked tasks behind one task, beyond which it takes no more: its end visits each of them.
    pub dependents_max: u32,
    /// Tasks that one command releases or aborts because others have ended, so that no single entry
    /// stalls the others. The rest is for the ticks that follow.
    pub passed_on_max: usize,
    /// Edges of the graph that one command visits because tasks end, or are released, for the same
    /// reason: a hundred tasks with the most dependencies.
    pub edges_per_command_max: usize,
    /// Timers that one `Tick` lets fire, so that no single entry stalls the others.
    pub timers_per_tick_max: usize,
    /// Leader records kept.
    pub leaders_kept_max: usize,
    /// Orphaned results kept: ten of each worker of the fleet that we promise to serve.
    pub orphans_kept_max: usize,
    /// Bytes that they may take together: as many as that with names of up to 79 bytes.
    pub orphan_bytes_max: u64,
    /// Bytes of the text of one: its first line tells what is missing.
    pub orphan_detail_bytes_max: usize,
    /// Most records of the trail, whatever the settings say: a year at an order every five minutes.
    pub audit_records_max: usize,
    /// Bytes that they may take together, on every master.
    pub audit_bytes_max: u64,
    /// Bytes of each text of one: names and addresses fit.
    pub audit_text_bytes_max: usize,
    /// Most concurrency keys of live tasks, in all queues.
    pub concurrency_keys_max: usize,
    /// Most named queues: each is looked at in every pass of the scheduler, and is a label of metrics.
    pub queues_max: usize,
    /// Most schedules: one of each worker of the fleet that we promise to serve.
    pub schedules_max: usize,
    /// Bytes that they may take together, on every master.
    pub schedule_bytes_max: u64,
    /// Runs that each of them remembers.
    pub schedule_runs_kept_max: usize,
    /// Bytes of an expression or the name of a time zone: lists of all minutes fit.
    pub schedule_text_bytes_max: usize,
    /// Records that one command forgets, so that no single entry stalls the others.
    pub audit_pruned_max: usize,
    /// Jobs under way: each is looked at in every pass.
    pub jobs_under_way_max: usize,
    /// Jobs on record, with those that have ended.
    pub jobs_kept_max: usize,
    /// Bytes of the filter of one, with who gave the order.
    pub job_bytes_max: usize,
    /// Tasks that one step of a job looks at, so that no other command waits for long.
    pub job_examined_max: usize,
    /// Tasks that one step cancels, or has run again, for the same reason.
    pub job_tasks_max: usize,
}

impl Limits {
    /// Returns the most holders that join tokens may add: the rest is for revocations.
    #[must_use]
    pub const fn holders_of_tokens_max(&self) -> usize {
        self.holders_max / 4 * 3
    }

    /// Bounds of the newest level that this release knows: nothing beyond them is ever accepted.
    pub const NEWEST: &'static Self = Self::at(Level::NEWEST);

    const FIRST: Self = Self {
        tasks_per_submit_max: 10_000,
        live_tasks_max: 10_000_000,
        workers_max: 100_000,
        worker_labels_max: 64,
        worker_labels_bytes_max: 16 << 10,
        worker_events_kept_max: 32,
        tokens_max: 1_000,
        user_tokens_max: 10_000,
        holders_max: 200_000,
        certificates_kept_max: 4,
        revoked_kept_max: 16,
        dropped_roots_max: 64,
        revocation_retention: Duration::from_secs(5 * 365 * 24 * 60 * 60),
        issuer_bytes_max: 64 << 10,
        operator_timeout_max: Duration::from_secs(10 * 365 * 24 * 60 * 60),
        idempotency_keys_max: 10_000_000,
        idempotency_retention: Duration::from_secs(24 * 60 * 60),
        priority_max: 100,
        attempts_max: 100,
        losses_max: 5,
        losses_in_all_max: 20,
        failed_starts_max: 5,
        suspension_min: Duration::from_secs(1),
        suspension_max: Duration::from_secs(5 * 60),
        trial_min: Duration::from_secs(3),
        attempts_ahead_max: 256,
        attempts_kept_max: 32,
        retry_backoff_max: Duration::from_secs(5 * 60),
        task_backoff_max: Duration::from_secs(24 * 60 * 60),
        retry_factor_milli_max: 100_000,
        final_codes_max: 32,
        task_horizon: Duration::from_secs(366 * 24 * 60 * 60),
        dependencies_max: 1_000,
        dependencies_per_submit_max: 100_000,
        dependents_max: 100_000,
        passed_on_max: 2_000,
        edges_per_command_max: 100_000,
        timers_per_tick_max: 10_000,
        leaders_kept_max: 100,
        orphans_kept_max: 100_000,
        orphan_bytes_max: 32 << 20,
        orphan_detail_bytes_max: 256,
        audit_records_max: 100_000,
        audit_bytes_max: 64 << 20,
        audit_text_bytes_max: 256,
        audit_pruned_max: 1_000,
        jobs_under_way_max: 16,
        jobs_kept_max: 100,
        job_bytes_max: 8 << 10,
        job_examined_max: 10_000,
        job_tasks_max: 1_000,
        concurrency_keys_max: 100_000,
        queues_max: 1_000,
        schedules_max: 10_000,
        schedule_bytes_max: 256 << 20,
        schedule_runs_kept_max: 32,
        schedule_text_bytes_max: 1_024,
    };

    /// Returns the bounds of a cluster of that level.
    #[must_use]
    pub const fn at(level: Level) -> &'static Self {
        match level.0 {
            0.. => &Self::FIRST,
        }
    }
}

/// The account of memory, and what operators may choose. The figures of the account never change:
/// they decide verdicts, and the sum over all live tasks is kept by them.
impl Limits {
    /// Bytes of memory that live tasks and idempotency keys may take, by the account below, unless
    /// the operator says otherwise.
    pub const LIVE_BYTES_DEFAULT: u64 = 4 << 30;
    /// Bytes of a live task beside its texts: its records and its places in the indexes. Rounded
    /// up from 805 bytes measured for one million tasks of 256 bytes.
    pub const TASK_BYTES: u64 = 640;
    /// Bytes of an attempt of a live task.
    pub const ATTEMPT_BYTES: u64 = 128;
    /// Bytes of the bounds on a live task's life, and of what is known of its course.
    pub const TIMING_BYTES: u64 = 256;
    /// Bytes of a concurrency key beside its text: each has an account of what runs and waits.
    pub const CONCURRENCY_KEY_BYTES: u64 = 512;
    /// Bytes of a dependency: its record, and its places in the index while its task is blocked.
    pub const DEPENDENCY_BYTES: u64 = 128;
    /// Bytes of an idempotency key beside its text.
    pub const KEY_BYTES: u64 = 192;
    /// Bytes of a schedule beside its texts and its task, with the runs that it remembers.
    pub const SCHEDULE_BYTES: u64 = 4 << 10;
    /// Bytes of each text beside its content: pointer, length and the allocator's rounding.
    pub const TEXT_BYTES: u64 = 32;
    /// Finished tasks kept on disk, unless the operator says otherwise.
    pub const RETAINED_TASKS: u64 = 2_000_000;
}
