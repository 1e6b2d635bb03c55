//! Waiting in tests: for a condition, instead of for a time.

use std::time::{Duration, Instant};

/// Time within which whatever a test waits for happens on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks.
const PERIOD: Duration = Duration::from_millis(20);

/// Outcome of a look: the thing, or what is still missing.
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

/// Looks again and again until the claim holds, and panics when it does not in time.
pub async fn until(claim: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    eventually(claim, within, async || require(holds(), || "it does not hold".to_owned())).await;
}

/// Looks again and again for that long, and panics as soon as the claim does not hold.
pub async fn throughout(what: &str, span: Duration, mut look: impl AsyncFnMut() -> Found<()>) {
    let started = Instant::now();
    while started.elapsed() < span {
        let seen = look().await;
        assert_eq!(seen, Ok(()), "{what}: after {:?}", started.elapsed());
        tokio::time::sleep(PERIOD).await;
    }
}

/// Finds nothing more when the claim holds, and else what is missing.
pub fn require(holds: bool, missing: impl FnOnce() -> String) -> Found<()> {
    if holds { Ok(()) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_found() {
        let mut looks = 0;
        let found = eventually("the third look", PATIENCE, async || {
            looks += 1;
            require(looks == 3, || format!("it was look {looks}"))?;
            Ok(looks)
        });
        assert_eq!(found.await, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "the moon: not within 0ns: it is dark")]
    async fn what_does_not_come_is_told_with_what_is_missing() {
        let look = async || Err::<(), _>("it is dark".to_owned());
        eventually("the moon", Duration::ZERO, look).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "silence: after")]
    async fn a_claim_that_ceases_to_hold_is_told() {
        throughout("silence", PATIENCE, async || Err("a bell rang".to_owned())).await;
    }
}
