//! The loop that every standing duty runs in.

use std::error::Error;
use std::time::Duration;

use raft_store::AppliedAt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::rest::until_over;

/// A standing duty of the leader: compare the committed state with what ought to be, and propose
/// or send what is missing.
///
/// A pass gets no hint about what changed. The code that takes over after an election is
/// therefore the code that runs all the time.
pub(super) trait Reconciler: Send {
    /// Names the duty in logs.
    const NAME: &'static str;
    /// What ends a pass early. It is logged, and the next pass starts afresh.
    type Error: Error + Send;

    /// One pass. Returns how long to wait when nothing changes; nothing to wait for a change.
    fn reconcile(&mut self) -> impl Future<Output = Result<Option<Duration>, Self::Error>> + Send;
}

/// A failed pass is repeated after this time, so that a standing fault does not spin.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs passes until cancelled: the next one when the state has moved on or the pass's own wait is
/// over, whichever comes first.
pub(super) async fn drive<R: Reconciler>(
    mut duty: R,
    mut applied: watch::Receiver<AppliedAt>,
    mut rest: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = until_over(&mut rest) => {}
        }
        // Seen before the pass: what changes during it starts another one.
        applied.borrow_and_update();
        let pass = tokio::select! {
            () = stop.cancelled() => return,
            pass = duty.reconcile() => pass,
        };
        let wait = match pass {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(duty = R::NAME, %error, "pass failed");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_PAUSE) => continue,
                }
            }
        };
        let due = wait.and_then(|wait| Instant::now().checked_add(wait));
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until `due`; for ever when nothing is due.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until the state has moved, and not before `after`: a busy log must not keep a duty looking.
pub(super) async fn changed_after(
    applied: &mut watch::Receiver<AppliedAt>,
    after: Instant,
) -> Result<(), watch::error::RecvError> {
    tokio::time::sleep_until(after).await;
    applied.changed().await
}
