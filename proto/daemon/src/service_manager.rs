//! News for the service manager: started, working on it, stopping.

use std::sync::Once;

pub use sd_notify::NotifyState;

/// Tells the service manager, if there is one that asked for it.
pub fn notify(states: &[NotifyState<'_>]) {
    static FAILED: Once = Once::new();

    if let Err(error) = sd_notify::notify(states) {
        // A starting daemon says every moment what it waits for.
        FAILED.call_once(|| tracing::warn!(%error, "service manager not notified"));
    }
}
