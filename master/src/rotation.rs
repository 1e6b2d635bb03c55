//! Takes a change of the authority further, on whichever master leads: it looks at the record, and at
//! who has said what, and so a new leader goes on where the one before has stopped.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::operations::Operations;

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Has the new authority issue once everybody trusts both, until `stop`.
pub(crate) async fn advance(operations: Operations, stop: CancellationToken) {
    loop {
        let advanced = tokio::select! {
            () = stop.cancelled() => return,
            advanced = operations.advance_rotation() => advanced,
        };
        match advanced {
            Ok(false) => {}
            Ok(true) => tracing::info!(
                "everybody trusts both authorities: the new one issues certificates from now on"
            ),
            // A leader that has just lost its place, most often; the next one goes on.
            Err(problem) => tracing::warn!(%problem, "the change of the authority did not go on"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_PAUSE) => {}
        }
    }
}
