//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(20);

/// Result of a check: the value, or a text that says what is still missing.
pub type Found<T> = Result<T, String>;

/// Looks again and again until the thing is there, and panics with what was still missing when it
/// is not there in time.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Found<T>,
) -> T {
    let started = Instant::now();
    loop {
        let missing = match look().await {
            Ok(found) => return found,
            Err(missing) => missing,
        };
        let waited = started.elapsed();
        assert!(waited < within, "{what}: not within {within:?}: {missing}");
        tokio::time::sleep(PERIOD).await;
    }
}

/// Looks again and again for that long, and panics as soon as the claim does not hold.
pub async fn throughout(what: &str, span: Duration, mut look: impl AsyncFnMut() -> Found<()>) {
    let started = Instant::now();
    while started.elapsed() < span {
        let seen = look().await;
        assert!(seen.is_ok(), "{what}: after {:?}: {}", started.elapsed(), seen.unwrap_err());
        tokio::time::sleep(PERIOD).await;
    }
}

/// The thing if the claim holds, else what is missing.
pub fn require(holds: bool, missing: impl FnOnce() -> String) -> Found<()> {
    if holds { Ok(()) } else { Err(missing()) }
}
