//! A master as a process: runs until a signal asks it to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use daemon::service_manager::{NotifyState, notify};
use daemon::signals::{StopSignal, StopSignals};
use raft_store::Ending;

use super::{Master, StartError};
use crate::config::Config;

/// After this time a master that cannot stop in good order is ended: below the 30 s that
/// Kubernetes and the 90 s that systemd give.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Pause between two looks of a starting master at whether it takes part: so short that a rolling
/// restart does not wait for it.
const READY_LOOK: Duration = Duration::from_millis(100);
/// Time for which the service manager waits for the next sign of a starting master.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Runs a master until SIGTERM or SIGINT, or until it does not belong to its cluster, and returns when it has stopped in good order. One that
/// cannot within 15 s ends with exit code 1, and so does one at once that is sent a second signal.
///
/// # Errors
///
/// When it could not start, or does not belong to its cluster any more.
pub async fn run(config: Config) -> Result<(), StartError> {
    let mut signals = StopSignals::listen([StopSignal::Terminate, StopSignal::Interrupt])
        .map_err(|error| StartError::Process(error.to_string()))?;
    let master = Master::start(config).await?;
    let ending: Ending = Arc::new(abort);
    master.node().fatal().end_by(&ending);

    let expulsion = tokio::select! {
        _ = signals.next() => None,
        reason = master.node().expelled() => Some(reason),
        never = tell_when_ready(&master) => match never {},
    };
    tracing::info!("stopping");
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    let Some(reason) = stopped_short(master.stop(), signals.next()).await else {
        return expulsion.map_or(Ok(()), |reason| Err(StartError::Expelled(reason)));
    };
    tracing::warn!(reason, "stopping at once");
    std::process::exit(1)
}

/// Waits for a reason to cut the stop short, unless the stop ends first.
async fn stopped_short(
    stop: impl Future<Output = ()>,
    second_signal: impl Future<Output = StopSignal>,
) -> Option<&'static str> {
    tokio::select! {
        () = stop => None,
        _ = second_signal => Some("a second signal asks for it"),
        () = tokio::time::sleep(STOP_TIMEOUT) => Some("it takes too long"),
    }
}

/// Aborts the process: a part has ended without which this master is only half alive, and nothing
/// more may be answered.
fn abort(reason: &str) {
    tracing::error!(reason, "this master cannot go on: this process ends");
    std::process::abort()
}

/// Tells the service manager when this master takes part, and until then what it waits for. Without a
/// majority it never does, and is not to be ended for that: whoever started it first waits for the
/// others.
async fn tell_when_ready(master: &Master) -> Infallible {
    let patience = u32::try_from(START_PATIENCE.as_micros()).unwrap_or(u32::MAX);
    loop {
        let readiness = master.readiness().await;
        if readiness.is_ready() {
            break;
        }
        let waits_for = if readiness.knows_leader {
            "waiting: catching up with the leader"
        } else {
            "waiting: no leader is known, a majority of the masters must be up"
        };
        notify(&[NotifyState::Status(waits_for), NotifyState::ExtendTimeoutUsec(patience)]);
        tokio::time::sleep(READY_LOOK).await;
    }
    tracing::info!("takes part");
    notify(&[NotifyState::Ready, NotifyState::Status("takes part")]);
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_by_itself_by_a_second_signal_or_when_it_takes_too_long() {
        let began_at = tokio::time::Instant::now();
        assert_eq!(stopped_short(ready(()), pending()).await, None);
        let why = stopped_short(pending(), ready(StopSignal::Interrupt)).await;
        assert_eq!(why, Some("a second signal asks for it"));
        assert_eq!(began_at.elapsed(), Duration::ZERO);

        assert_eq!(stopped_short(pending(), pending()).await, Some("it takes too long"));
        assert_eq!(began_at.elapsed(), STOP_TIMEOUT);
    }
}
