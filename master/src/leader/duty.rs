//! The loop that every duty of the leader runs in.

use std::error::Error;
use std::time::Duration;

use raft_store::AppliedAt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::state::until_over;

/// A duty of the leader: compares the committed state with what ought to be, and proposes or sends
/// what is missing.
///
/// A pass gets no hint about what changed. The code that takes over after an election is therefore
/// the code that runs all the time. The cost of a pass depends on what is missing, not on what
/// exists.
pub(super) trait Duty: Send + 'static {
    /// Name of the duty in logs.
    const NAME: &'static str;
    /// True if the duty rests while no quorum confirms that this master leads. A duty that proposes
    /// nothing needs no rest.
    const RESTS: bool = true;
    /// Reason why a pass ends early. It is logged, and the next pass starts afresh.
    type Error: Error + Send;

    /// Makes one pass. Returns when to make the next one.
    fn pass(&mut self) -> impl Future<Output = Result<Wait, Self::Error>> + Send;

    /// Waits for what requires a pass besides the state and the time: an answer, a request, a
    /// notice. Must be cancel safe.
    fn wake(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// When the next pass begins, if the duty does not wake before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    until: Option<Instant>,
    changes: Changes,
}

/// The changes of the state that begin a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    All,
    /// Changes from this time on; earlier ones begin a pass at this time.
    After(Instant),
    None,
}

impl Changes {
    fn are_due(self, now: Instant) -> bool {
        match self {
            Self::All => true,
            Self::After(at) => at <= now,
            Self::None => false,
        }
    }
}

impl Wait {
    /// Waits for the state to change.
    pub(super) const fn for_change() -> Self {
        Self { until: None, changes: Changes::All }
    }

    /// Waits for the state to change, but not before `at`: a busy log must not keep the duty in
    /// passes.
    pub(super) const fn for_change_after(at: Instant) -> Self {
        Self { until: None, changes: Changes::After(at) }
    }

    /// Waits for a time, whatever changes.
    pub(super) const fn for_time(at: Instant) -> Self {
        Self { until: Some(at), changes: Changes::None }
    }

    /// Waits until `at` at most, if there is such a time.
    pub(super) const fn at_most_until(self, at: Option<Instant>) -> Self {
        Self { until: at, ..self }
    }
}

/// Pause after a failed pass, so that a lasting fault does not spin.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs passes of a duty until cancelled. Open calls of the duty are dropped then: their effects
/// show in the state, or the next leader makes them again.
pub(super) async fn drive<D: Duty>(
    mut duty: D,
    mut applied: watch::Receiver<AppliedAt>,
    mut rest: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let passes = async {
        let mut changes = Changes::All;
        loop {
            if D::RESTS {
                until_over(&mut rest).await;
            }

            // Before the pass: what changes during it begins another one. Changes whose time has
            // not come when the duty wakes for another reason are left for it.
            if changes.are_due(Instant::now()) {
                applied.borrow_and_update();
            }
            let wait = match duty.pass().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(duty = D::NAME, %error, "pass failed");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            };

            changes = wait.changes;
            tokio::select! {
                () = duty.wake() => {}
                () = sleep_until(wait.until) => {}
                changed = changed(&mut applied, changes) => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = passes => {}
    }
}

/// Waits until `due`; forever when nothing is due.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for a change of the state that begins a pass.
async fn changed(
    applied: &mut watch::Receiver<AppliedAt>,
    changes: Changes,
) -> Result<(), watch::error::RecvError> {
    match changes {
        // Without a timer, which may be a millisecond late.
        Changes::All => {}
        Changes::After(at) => tokio::time::sleep_until(at).await,
        Changes::None => std::future::pending().await,
    }
    applied.changed().await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use cluster_state::{LogIndex, Term};
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;

    /// Counts its passes, fails the first one, and waits as it is told.
    struct Counter {
        passes: Arc<AtomicUsize>,
        notice: Arc<Notify>,
        wait: Wait,
    }

    impl Duty for Counter {
        const NAME: &'static str = "counter";
        type Error = std::fmt::Error;

        async fn pass(&mut self) -> Result<Wait, std::fmt::Error> {
            match self.passes.fetch_add(1, Ordering::SeqCst) {
                0 => Err(std::fmt::Error),
                _ => Ok(self.wait),
            }
        }

        async fn wake(&mut self) {
            self.notice.notified().await;
        }
    }

    /// A running counter, and all that wakes it.
    struct World {
        passes: Arc<AtomicUsize>,
        notice: Arc<Notify>,
        applied: watch::Sender<AppliedAt>,
        rest: watch::Sender<bool>,
        stop: CancellationToken,
        running: JoinSet<()>,
    }

    impl World {
        fn new(wait: Wait) -> Self {
            let (passes, notice) = (Arc::default(), Arc::default());
            let counter =
                Counter { passes: Arc::clone(&passes), notice: Arc::clone(&notice), wait };
            let (applied, rest) =
                (watch::Sender::new(AppliedAt::default()), watch::Sender::new(false));
            let stop = CancellationToken::new();
            let mut running = JoinSet::new();
            running.spawn(drive(counter, applied.subscribe(), rest.subscribe(), stop.clone()));
            Self { passes, notice, applied, rest, stop, running }
        }

        /// The passes made after some time.
        async fn passes_after(&self, millis: u64) -> usize {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            self.passes.load(Ordering::SeqCst)
        }

        fn change(&self, index: u64) {
            self.applied.send_replace(AppliedAt { index: LogIndex(index), term: Term(1) });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_pass_is_repeated_after_a_pause() {
        let world = World::new(Wait::for_change());
        assert_eq!(world.passes_after(199).await, 1);
        assert_eq!(world.passes_after(2).await, 2);
        assert_eq!(world.passes_after(10_000).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_begin_one_pass_when_their_time_has_come() {
        let world = World::new(Wait::for_change_after(Instant::now() + Duration::from_secs(5)));
        assert_eq!(world.passes_after(1_000).await, 2);
        world.change(1);
        world.change(2);
        assert_eq!(world.passes_after(3_000).await, 2);
        assert_eq!(world.passes_after(2_000).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_begins_a_pass_at_once() {
        let world = World::new(Wait::for_time(Instant::now() + Duration::from_secs(60)));
        assert_eq!(world.passes_after(1_000).await, 2);
        world.change(1);
        assert_eq!(world.passes_after(1_000).await, 2);
        world.notice.notify_one();
        assert_eq!(world.passes_after(1).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_leaves_a_change_for_its_time() {
        let world = World::new(Wait::for_change_after(Instant::now() + Duration::from_secs(5)));
        assert_eq!(world.passes_after(1_000).await, 2);
        world.change(1);
        world.notice.notify_one();
        assert_eq!(world.passes_after(3_000).await, 3);
        assert_eq!(world.passes_after(2_000).await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_rests_and_ends_when_it_is_told_to() {
        let world = World::new(Wait::for_change());
        assert_eq!(world.passes_after(1_000).await, 2);
        world.rest.send_replace(true);
        world.change(1);
        assert_eq!(world.passes_after(1_000).await, 2);
        world.rest.send_replace(false);
        assert_eq!(world.passes_after(1_000).await, 3);
        world.stop.cancel();
        world.running.join_all().await;
    }
}
