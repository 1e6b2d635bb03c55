//! Runs nothing, to measure the cluster without the cost of processes.

use std::time::Duration;

use cluster_state::{AttemptOutcome, AttemptReport, FinishedAttempt};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{Launch, Running, RunningAttempt};

const SUCCESS: AttemptOutcome = AttemptOutcome::Exited { code: 0 };

/// Ends each attempt immediately with success, except that `sleep SECONDS` takes its time.
#[derive(Debug)]
pub(crate) struct NoopExecutor {
    running: Running,
    tasks: TaskTracker,
}

impl NoopExecutor {
    /// Creates an executor that sends the ends of attempts to `ended`.
    #[must_use]
    pub(crate) fn new(ended: mpsc::UnboundedSender<FinishedAttempt>) -> Self {
        Self { running: Running::new(ended), tasks: TaskTracker::new() }
    }

    pub(super) fn start(&self, launch: &Launch) {
        match sleep_of(&launch.command) {
            Some(duration) => {
                self.tasks.spawn(sleep(self.running.begin(launch.attempt), duration));
            }
            None => self.running.report(FinishedAttempt::new(launch.attempt, SUCCESS)),
        }
    }

    pub(super) const fn running(&self) -> &Running {
        &self.running
    }
}

fn sleep_of(command: &[String]) -> Option<Duration> {
    let [program, seconds] = command else { return None };
    let seconds = seconds.parse().ok().filter(|_| program == "sleep")?;
    Duration::try_from_secs_f64(seconds).ok()
}

async fn sleep(mut attempt: RunningAttempt, duration: Duration) {
    let outcome = tokio::select! {
        () = tokio::time::sleep(duration) => SUCCESS,
        stop = attempt.stopped() => AttemptOutcome::Signaled { signal: stop.signal() as i32 },
    };
    attempt.end(outcome, AttemptReport::default());
}

#[cfg(test)]
mod tests {
    use cluster_state::OnDisconnect;

    use super::*;
    use crate::executor::Stop;
    use crate::ledger::{Begin, attempt_ref};

    fn launch(task: u64, command: &[&str]) -> Launch {
        Launch {
            attempt: attempt_ref(task, 1),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: [].into(),
            working_dir: None,
            stdin: None,
            on_disconnect: OnDisconnect::Keep,
            room: None,
            begin: Begin::AtOnce,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_at_once_except_sleeping_ones() {
        let (ended_tx, mut ended) = mpsc::unbounded_channel();
        let executor = NoopExecutor::new(ended_tx);
        executor.start(&launch(1, &["sleep", "1.5"]));
        executor.start(&launch(2, &["anything"]));

        let second = FinishedAttempt { attempt: attempt_ref(2, 1), outcome: SUCCESS, report: None };
        assert_eq!(ended.try_recv(), Ok(second));
        let first = FinishedAttempt { attempt: attempt_ref(1, 1), outcome: SUCCESS, report: None };
        assert_eq!(ended.recv().await, Some(first));
        executor.running().idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeping_attempt_can_be_stopped() {
        let (ended_tx, mut ended) = mpsc::unbounded_channel();
        let executor = NoopExecutor::new(ended_tx);
        executor.start(&launch(1, &["sleep", "1000"]));

        executor.running().stop(attempt_ref(1, 1), Stop::Kill);

        let outcome = AttemptOutcome::Signaled { signal: 9 };
        assert_eq!(ended.recv().await.map(|ended| ended.outcome), Some(outcome));
    }
}
