//! `worker drain`: empties a worker, and waits for that on request.

use std::time::Duration;

use proto::client::{Client, ClientError};
use proto::consistency::Consistency;
use proto::problem::ErrorKind;
use proto::v1;
use tokio::time::{Instant, sleep};

use super::{Context, scheduling_order};
use crate::args::DrainArgs;
use crate::failure::Failure;

/// Pause between two queries about the remaining attempts: people watch, and tasks last longer.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// State of a worker that is waited for.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// Number of attempts that are left.
    Left(u32),
    /// The worker is empty.
    Drained,
    /// Somebody has given another order.
    Overruled,
}

impl Progress {
    fn of(worker: &v1::Worker) -> Self {
        match worker.scheduling() {
            v1::SchedulingState::Drained => Self::Drained,
            v1::SchedulingState::Draining => Self::Left(worker.running_tasks),
            v1::SchedulingState::Unspecified
            | v1::SchedulingState::Open
            | v1::SchedulingState::Cordoned => Self::Overruled,
        }
    }
}

/// Orders the drain and returns the worker as it is at the end.
pub(super) async fn run(
    context: &Context,
    client: &Client,
    args: DrainArgs,
) -> Result<v1::Worker, Failure> {
    let DrainArgs { worker_id, deadline, wait, cancel } = args;
    if cancel {
        let order = scheduling_order(worker_id, v1::SchedulingOrder::Uncordon);
        return Ok(client.set_scheduling(order).await?);
    }
    let timeout = deadline.map(|deadline| humantime::format_duration(deadline).to_string());
    let order = scheduling_order(worker_id, v1::SchedulingOrder::Drain);
    let order = v1::SetSchedulingRequest { timeout, ..order };
    let draining = client.set_scheduling(order).await?;
    if wait { await_drained(context, client, draining).await } else { Ok(draining) }
}

/// Queries the worker until it is empty. Failing masters are retried for as long as the user's
/// timeout allows.
async fn await_drained(
    context: &Context,
    client: &Client,
    mut seen: v1::Worker,
) -> Result<v1::Worker, Failure> {
    let until = context.timeout.map(|timeout| Instant::now() + timeout);
    let mut told = None;

    loop {
        match Progress::of(&seen) {
            Progress::Drained => {
                context.output.message(format_args!("{}: drained", seen.worker_id));
                return Ok(seen);
            }
            Progress::Overruled => {
                return Err(Failure::DrainOverruled { worker_id: seen.worker_id });
            }
            Progress::Left(tasks) if told != Some(tasks) => {
                context.output.message(format_args!("{}: {} left", seen.worker_id, count(tasks)));
                told = Some(tasks);
            }
            Progress::Left(_) => {}
        }

        if until.is_some_and(|until| Instant::now() + POLL_INTERVAL >= until) {
            let Progress::Left(tasks) = Progress::of(&seen) else { return Ok(seen) };
            return Err(Failure::StillDraining { worker_id: seen.worker_id, tasks });
        }

        sleep(POLL_INTERVAL).await;
        match client.worker(&seen.worker_id, Consistency::default()).await {
            Ok(worker) => seen = worker,
            Err(error) if is_passing(&error) => {
                context.output.message(format_args!("still waiting: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns true if a healthy cluster would have answered.
fn is_passing(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::NoLeader | ErrorKind::NotLeader | ErrorKind::Timeout)
}

fn count(tasks: u32) -> String {
    if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(scheduling: v1::SchedulingState, running_tasks: u32) -> Progress {
        let scheduling = scheduling.into();
        Progress::of(&v1::Worker { scheduling, running_tasks, ..v1::Worker::default() })
    }

    #[test]
    fn a_drain_goes_on_until_nothing_is_left_or_somebody_takes_it_back() {
        assert_eq!(seen(v1::SchedulingState::Draining, 3), Progress::Left(3));
        assert_eq!(seen(v1::SchedulingState::Drained, 0), Progress::Drained);
        assert_eq!(seen(v1::SchedulingState::Open, 3), Progress::Overruled);
        assert_eq!(seen(v1::SchedulingState::Cordoned, 0), Progress::Overruled);
    }

    #[test]
    fn what_is_left_is_counted_in_words() {
        assert_eq!((count(1).as_str(), count(2).as_str()), ("1 task", "2 tasks"));
    }
}
