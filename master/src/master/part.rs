//! One part of a running master: started, and stopped within its patience.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Something that runs until it is told to stop.
#[derive(Debug)]
pub(super) struct Part {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Part {
    pub(super) fn spawn<F>(tasks: &TaskTracker, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let running = tasks.spawn(run(stop.clone()));
        Self { stop, running }
    }

    pub(super) async fn stop(mut self, name: &'static str, patience: Duration) {
        self.stop.cancel();
        let how = match tokio::time::timeout(patience, &mut self.running).await {
            Ok(Ok(())) => "in good order",
            Ok(Err(_)) => "by a panic",
            Err(_) => {
                self.running.abort();
                "with requests under way"
            }
        };
        tracing::info!(part = name, how, "stopped");
    }
}
